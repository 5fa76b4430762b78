// Responses beside each other: a prompt's group, and the same problem in other steps, files and runs.
"use strict";
(() => {
  const { h } = rlsp;
  const MOST = 24; // cards that are shown

  // The light rows of the same prompt: of the same step in training, of the same file elsewhere.
  rlsp.groupOf = (rows, row) => rows.light.filter((one) => one.id === row.id && one.step === row.step);

  rlsp.group = async (rows, row) => cards(await wholes(rlsp.groupOf(rows, row).map((one) => ({ rows, row: one }))), row);

  // The same problem in all files that may have it; ids are compared first, then texts.
  rlsp.elsewhere = async (run, file, row) => {
    const rows = rlsp.rowsOf(run, file), problem = textOf((await rows.whole(row.number)).row);
    const found = [];
    for (const place of placesLike(run, file)) {
      const others = rlsp.rowsOf(place.run, place.file);
      await others.update();
      found.push(...others.light.filter((one) => one.id === row.id).map((one) => ({ rows: others, row: one, place })));
    }
    const same = (await wholes(found)).filter(({ whole }) => textOf(whole.row) === problem);
    return cards(same, row, rows);
  };

  const textOf = (row) => row.prompt ?? row.problem;

  // Files of responses to the same problems: rollouts of all runs, or one bench of all models.
  const placesLike = (run, file) =>
    rlsp.files().filter(({ bench }) => bench === rlsp.runs[run].files[file].bench);

  // A few of many: the first and the last, which tell most of a change.
  function some(found) {
    return found.length <= MOST ? found : [...found.slice(0, MOST / 2), ...found.slice(-MOST / 2)];
  }

  const wholes = (found) => Promise.all(some(found).map(async (one) => ({ ...one, whole: await one.rows.whole(one.row.number) })));

  function cards(found, chosen, chosenRows) {
    const card = ({ rows, row, whole, place }) => {
      const isChosen = row.number === chosen.number && (!chosenRows || rows === chosenRows);
      const element = rlsp.card(whole, h("h3", {}, place ? rlsp.fileName(place.run, place.file) : null, " ", rlsp.rowName(row)));
      if (isChosen) element.classList.add("chosen");
      return element;
    };
    return h("div", { class: "cards", tabindex: 0, role: "region", "aria-label": "Responses side by side" }, found.map(card));
  }

  // All files of all runs, as {run, file, bench}; `bench` is null for rollouts.
  rlsp.files = () => rlsp.runs.flatMap((one, run) => one.files.map(({ bench }, file) => ({ run, file, bench })));

  // "quickstart/1: ppo on heldout"; the run only where there are several.
  rlsp.fileName = (run, file) => {
    const { model, bench } = rlsp.runs[run].files[file];
    const name = bench === null ? "rollouts" : `${model} on ${bench}`;
    return rlsp.runs.length > 1 ? `${rlsp.runs[run].name}: ${name}` : name;
  };

  // "step 12" in training; "sample 3" elsewhere.
  rlsp.rowName = (row) => (row.step == null ? `${row.kind} ${row.nth + 1}` : `step ${row.step + 1}`);
})();
