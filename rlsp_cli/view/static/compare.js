// Two evaluations of the same bench: the problems on which they differ, and both responses.
"use strict";
(() => {
  const { h } = rlsp;
  const CHANGES = { gained: "wrong, then right", lost: "right, then wrong", changed: "any change", all: "all problems" };
  let list = null, problems = [], known = 0; // evaluations when the page was drawn

  async function show(page, filter) {
    const files = evaluations();
    known = files.length;
    if (files.length < 2) {
      page.replaceChildren(h("p", { class: "quiet" }, "To compare, open runs with two evaluations of the same bench."));
      return;
    }
    const [a, b] = chosen(files, filter), change = filter.change || "changed";
    await Promise.all([a.rows.update(), b.rows.update()]);
    problems = compared(a.rows.light, b.rows.light);
    const detail = h("section", { class: "detail", "aria-label": "Both responses" });
    list = new rlsp.List({ label: "Problems", height: 44, render, open: (problem) => {
      history.replaceState(null, "", rlsp.link("compare", { ...filter, id: problem.id }));
      document.body.classList.add("reading");
      both(detail, a, b, problem, () => document.body.classList.remove("reading")).catch(rlsp.fail);
    } });
    page.replaceChildren(choices(files, a, b, change, filter), counts(),
      h("div", { class: "browser" }, h("div", { class: "found" }, list.element), detail));
    document.body.classList.remove("reading");
    list.set(problems.filter((one) => change === "all" || kindOf(one, change)), (one) => one.id === filter.id);
    if (list.chosen >= 0) list.choose(list.chosen);
    else detail.append(h("p", { class: "quiet" }, "Choose a problem: click it, or press j."));
  }

  const evaluations = () => rlsp.files().filter(({ bench }) => bench !== null).map(({ run, file, bench }) =>
    ({ bench, key: `${run}/${file}`, name: rlsp.fileName(run, file), rows: rlsp.rowsOf(run, file) }));

  // Those of the address, else the last two of one bench.
  function chosen(files, filter) {
    const asked = [filter.a, filter.b].map((key) => files.find((one) => one.key === key));
    const b = asked[1] || files[files.length - 1];
    const like = files.filter((one) => one.bench === b.bench && one !== b);
    return [asked[0] || like[like.length - 1] || files[0], b];
  }

  // Problems that both have, with the mean verdict of each; a response without one counts as wrong.
  function compared(before, after) {
    const a = byProblem(before), b = byProblem(after);
    return [...a.keys()].filter((id) => b.has(id)).map((id) =>
      ({ id, before: a.get(id), after: b.get(id), was: mean(a.get(id)), is: mean(b.get(id)) }));
  }

  function byProblem(rows) {
    const found = new Map();
    for (const row of rows) found.set(row.id, [...(found.get(row.id) || []), row]);
    return found;
  }

  const mean = (rows) => rows.reduce((sum, row) => sum + (row.value ?? 0), 0) / rows.length;

  const kindOf = ({ was, is }, change) => (change === "gained" ? is > was : change === "lost" ? is < was : is !== was);

  function choices(files, a, b, change, filter) {
    const choice = (name, options, value) => h("select", { onchange: (event) =>
      rlsp.go("compare", { ...filter, id: null, [name]: event.target.value }) },
    options.map(([key, label]) => h("option", { value: key, selected: key === value }, label)));
    const names = files.map((one) => [one.key, one.name]);
    return h("div", { class: "controls" },
      h("label", {}, h("span", {}, "Before "), choice("a", names, a.key)), h("label", {}, h("span", {}, "After "), choice("b", names, b.key)),
      h("label", {}, h("span", {}, "Show "), choice("change", Object.entries(CHANGES), change)));
  }

  function counts() {
    const number = (change) => problems.filter((one) => kindOf(one, change)).length;
    return h("p", {}, `${problems.length} problems in both: `, h("span", { class: "right" }, `${number("gained")} better`), ", ",
      h("span", { class: "wrong" }, `${number("lost")} worse`), ". ", h("code", {}, "rlsp compare"), " says whether that may be chance.");
  }

  const render = ({ id, was, is }) => h("span", { class: "first" }, h("b", {}, id),
    h("span", { class: is > was ? "right" : is < was ? "wrong" : "quiet" }, `${rlsp.number(was)} → ${rlsp.number(is)}`));

  // The responses of both, with the words marked that only the later one has.
  async function both(detail, a, b, problem, back) {
    const [before, after] = await Promise.all([a.rows.whole(problem.before[0].number), b.rows.whole(problem.after[0].number)]);
    const more = problem.before.length + problem.after.length > 2;
    const head = (file, row) => h("h3", {}, file.name, " ", h("span", { class: "quiet" }, rlsp.rowName(row)));
    detail.replaceChildren(
      h("header", {}, h("button", { class: "back", type: "button", onclick: back }, "← All problems"), h("h2", {}, problem.id)),
      h("pre", {}, before.row.problem ?? before.row.prompt ?? ""),
      h("p", { class: "quiet" }, `reference ${before.row.reference ?? "–"}` + (more ? "; the first response of each" : "")),
      h("div", { class: "cards two" }, rlsp.card(before, head(a, problem.before[0])),
        rlsp.card(after, head(b, problem.after[0]), rlsp.differing(after.row.response, before.row.response))));
    detail.scrollTop = 0;
  }

  // Evaluations that have come since; the chosen problem is in the address.
  async function refresh(page) {
    if (evaluations().length !== known) await show(page, rlsp.address().filter);
  }

  const KEYS = { j: () => list && list.move(1), k: () => list && list.move(-1) };
  rlsp.pages = { ...rlsp.pages, compare: { show, refresh, keys: KEYS } };
})();
