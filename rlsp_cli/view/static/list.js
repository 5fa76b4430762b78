// A list of any length that draws only the rows that can be seen.
"use strict";
(() => {
  const AROUND = 10; // rows drawn above and below, so that scrolling shows no gap

  // `render(item)` is the content of a row; `open(item)` is called when one is chosen.
  class List {
    constructor({ label, height, render, open }) {
      Object.assign(this, { height, render, open, items: [], chosen: -1 });
      this.inner = rlsp.h("div", { class: "list-inner", role: "presentation" });
      this.element = rlsp.h("div", {
        class: "list", role: "listbox", tabindex: 0, "aria-label": label,
        onscroll: () => this.draw(), onkeydown: (event) => this.key(event),
      }, this.inner);
      new ResizeObserver(() => this.draw()).observe(this.element);
    }

    // Show these items; the one that was chosen stays chosen as long as it is there.
    set(items, isChosen) {
      this.items = items;
      this.chosen = items.findIndex(isChosen);
      this.inner.style.height = `${items.length * this.height}px`;
      this.draw();
    }

    draw() {
      const first = Math.max(0, Math.floor(this.element.scrollTop / this.height) - AROUND);
      const seen = Math.ceil(this.element.clientHeight / this.height) + 2 * AROUND;
      const shown = this.items.slice(first, first + seen);
      this.inner.replaceChildren(...shown.map((item, place) => this.row(item, first + place)));
      this.element.setAttribute("aria-activedescendant", this.chosen < 0 ? "" : `row-${this.chosen}`);
    }

    row(item, place) {
      const row = rlsp.h("div", {
        class: "row", role: "option", id: `row-${place}`, "aria-selected": String(place === this.chosen),
        "aria-setsize": this.items.length, "aria-posinset": place + 1, onclick: () => this.choose(place),
      }, this.render(item));
      row.style.top = `${place * this.height}px`;
      row.style.height = `${this.height}px`;
      return row;
    }

    choose(place) {
      if (!this.items.length) return;
      this.chosen = Math.min(Math.max(place, 0), this.items.length - 1);
      this.reveal();
      this.draw();
      this.open(this.items[this.chosen]);
    }

    move(by) {
      this.choose(this.chosen < 0 ? 0 : this.chosen + by);
    }

    // Scroll to the chosen row, if there is one and it is out of sight.
    reveal() {
      if (this.chosen < 0) return;
      const top = this.chosen * this.height, bottom = top + this.height;
      const { scrollTop, clientHeight } = this.element;
      if (top < scrollTop) this.element.scrollTop = top;
      else if (bottom > scrollTop + clientHeight) this.element.scrollTop = bottom - clientHeight;
    }

    key(event) {
      const page = Math.max(1, Math.floor(this.element.clientHeight / this.height) - 1);
      const moves = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page,
        Home: -this.items.length, End: this.items.length };
      if (!(event.key in moves) || event.altKey || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      this.move(moves[event.key]);
    }
  }

  rlsp.List = List;
})();
