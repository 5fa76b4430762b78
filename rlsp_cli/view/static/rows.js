// The responses of a file: light rows of all of them, and whole rows in pieces when they are shown.
"use strict";
(() => {
  const FIELDS = ["step", "id", "kind", "nth", "value", "outcome", "truncated", "reward", "tokens",
    "answer"];
  const KEPT = 60; // pieces

  class Rows {
    constructor(run, file) {
      this.place = `${run}/${file}`;
      this.turn = Promise.resolve();
      this.forget();
    }

    forget() {
      this.light = [];
      this.counts = []; // of behaviours, as far as they are counted
      this.damaged = 0;
      this.pieces = new Map();
    }

    // Read on to the end of the file, calling `progress` on the way; one call after the other, or
    // rows would be read twice.
    update(progress = () => {}) {
      this.turn = this.turn.catch(() => {}).then(() => this.readOn(progress));
      return this.turn;
    }

    async readOn(progress) {
      for (;;) {
        const answer = await rlsp.get(`index/${this.place}`, this.light.length);
        if (this.isAnew(answer)) continue;
        this.damaged = answer.damaged;
        if (!answer.rows.length) return;

        for (const values of answer.rows) this.light.push(this.row(values));
        progress();
      }
    }

    // Count behaviours on to the end of the file; until `stopped` says so.
    async count(progress, stopped) {
      while (this.counts.length < this.light.length && !stopped()) {
        const answer = await rlsp.get(`behaviours/${this.place}`, this.counts.length);
        // Another call may have gone on with the same rows meanwhile.
        if (stopped() || this.isAnew(answer) || !answer.rows.length) return;
        this.counts.push(...answer.rows);
        progress();
      }
    }

    // A resumed run writes its last steps again: what is known of the file no longer holds.
    isAnew(answer) {
      const isAnew = this.timesAnew !== undefined && this.timesAnew !== answer.times_anew;
      this.timesAnew = answer.times_anew;
      if (isAnew) this.forget();
      return isAnew;
    }

    row(values) {
      const row = { number: this.light.length };
      FIELDS.forEach((field, place) => (row[field] = values[place]));
      return row;
    }

    // The whole row of a number, and the places of behaviours in its response.
    async whole(number) {
      const [row, marks] = await Promise.all([this.at("rows", number), this.at("marks", number)]);
      return { row, marks };
    }

    async at(what, number) {
      const piece = await this.piece(what, Math.floor(number / rlsp.pieceSize));
      return piece[number % rlsp.pieceSize];
    }

    async piece(what, number) {
      // The last piece may have grown since it was read.
      const rows = Math.min(rlsp.pieceSize, this.light.length - number * rlsp.pieceSize);
      const name = `${what}/${this.place}/${number}`;
      let piece = this.pieces.get(name);
      if (!piece || (await piece).length < rows) {
        piece = rlsp.get(name);
        piece.catch(() => this.pieces.delete(name)); // the next try asks again
        this.pieces.set(name, piece);
        if (this.pieces.size > KEPT) this.pieces.delete(this.pieces.keys().next().value);
      }
      return piece;
    }

    // The numbers, among those of `rows`, of responses in which a text occurs; piece by piece.
    async search(text, rows, found, stopped) {
      const wanted = text.toLowerCase();
      for (const row of rows) {
        if (stopped()) return;
        const whole = await this.at("rows", row.number);
        const texts = [whole.response, whole.prompt, whole.problem, whole.reference, row.answer];
        const said = whole.turns ? whole.turns.said.map((turn) => turn.text) : [];
        if ([...texts, ...said].some((one) => one && one.toLowerCase().includes(wanted))) found(row);
      }
    }
  }

  const known = new Map();

  rlsp.rowsOf = (run, file) => {
    const place = `${run}/${file}`;
    if (!known.has(place)) known.set(place, new Rows(run, file));
    return known.get(place);
  };
})();
