// The responses of one file: filters, the list of those that match, and the one that is chosen.
"use strict";
(() => {
  const { h } = rlsp;
  const TABS = { response: "Response", group: "Group", same: "Same problem", tree: "Tree" };
  let shown = null; // {run, file, rows, form, list, count, detail, filter}
  let work = 0; // counts changes of the filter, so that an old search or count ends

  async function show(page, asked) {
    const place = placeOf(asked);
    if (!place) {
      page.replaceChildren(h("p", { class: "quiet" }, "No responses yet: rollouts and evaluations write them."));
      return;
    }
    const filter = { ...asked, ...place };
    if (!shown || !page.contains(shown.list.element) || shown.run !== place.run || shown.file !== place.file) build(page, filter, place);
    const isSame = shown.filter && key(shown.filter) === key(filter);
    shown.filter = filter;
    rlsp.fillForm(shown.form, filter);
    const isFirst = !isSame && shown.list.items.length === 0;
    if (!isSame) await apply();
    if (isFirst) shown.list.reveal();
    await open(filter);
  }

  // The file that is asked for, else the first rollouts, else any; none without responses.
  function placeOf({ run, file }) {
    if (rlsp.runs[run]?.files[file]) return { run: Number(run), file: Number(file) };
    const files = rlsp.files();
    const first = files.find((one) => one.bench === null) || files[0];
    return first && { run: first.run, file: first.file };
  }

  // What decides which responses are listed, but not which of them is open.
  const key = ({ row, tab, ...rest }) => JSON.stringify(rest);

  function build(page, filter, { run, file }) {
    const rows = rlsp.rowsOf(run, file);
    const list = new rlsp.List({ label: "Responses", height: 58, render,
      open: (row) => rlsp.go("responses", { ...shown.filter, run, file, row: row.number }, { keep: true }) });
    const form = rlsp.form(filter, run, file, (changed) => rlsp.go("responses", changed, { keep: true }));
    const count = h("p", { class: "count quiet", role: "status" }), detail = h("section", { class: "detail", tabindex: -1, "aria-label": "Response" });
    shown = { run, file, rows, form, list, count, detail, filter: null };
    page.replaceChildren(form, h("div", { class: "browser" }, h("div", { class: "found" }, count, list.element), detail));
  }

  // List what matches; rows that are still to come are added as they do.
  async function apply() {
    const job = ++work, { rows, filter } = shown, stopped = () => job !== work;
    shown.searching = false;
    await rows.update(() => stopped() || (filter.q ? null : fill()));
    if (stopped()) return;
    fill();
    const count = () => rows.count(() => stopped() || (filter.behaviour && !filter.q ? fill() : say()), stopped);
    const find = () => filter.q && search(stopped);
    // Not awaited: both may take long, and end when something else is asked for.
    const both = filter.behaviour ? count().then(find) : Promise.resolve(find()).then(count);
    both.catch(rlsp.fail);
  }

  function fill(only) {
    const { rows, filter, list, run } = shown;
    const matches = rlsp.matcher(filter, rlsp.runs[run].behaviours, rows.counts);
    const found = filter.q ? only || [] : rows.light.filter(matches);
    // The address, since another one may have been chosen while this was awaited.
    const chosen = rlsp.address().filter.row;
    list.set(rlsp.sorted(found, filter.sort), (row) => String(row.number) === chosen);
    say();
  }

  async function search(stopped) {
    const { rows, filter, run } = shown, found = [];
    const matches = rlsp.matcher(filter, rlsp.runs[run].behaviours, rows.counts);
    const draw = rlsp.later(() => stopped() || fill(found), 60);
    shown.searching = true;
    say();
    await rows.search(filter.q, rows.light.filter(matches), (row) => { found.push(row); draw(); }, stopped);
    if (stopped()) return;
    shown.searching = false;
    fill(found);
  }

  function say() {
    const { rows, list, count, searching, filter } = shown;
    const total = rows.light.length, counted = rows.counts.length;
    const words = [list.items.length === total ? `${rlsp.number(total)} responses` : `${rlsp.number(list.items.length)} of ${rlsp.number(total)} responses`];
    if (filter.q && searching) words.push("searching…");
    if (counted < total) words.push(`behaviours counted in ${rlsp.number(counted)}`);
    if (rows.damaged) words.push(`damaged lines left out: ${rows.damaged}`);
    count.textContent = words.join(" · ");
  }

  function render(row) {
    const { rows, run } = shown, counts = rows.counts[row.number] || [];
    const behaviours = rlsp.runs[run].behaviours.filter((_, place) => counts[place] > 0);
    return [
      h("span", { class: "first" }, rlsp.badge(row.value, row.outcome), h("b", {}, row.id), h("span", { class: "answer" }, row.answer && `→ ${row.answer}`)),
      h("span", { class: "second quiet" }, [rlsp.rowName(row), row.reward == null ? null : `reward ${rlsp.number(row.reward)}`,
        row.tokens == null ? null : `${row.tokens} tokens`, row.truncated && "truncated",
        ...behaviours.map((name) => name.replace("_", " "))].filter(Boolean).join(" · ")),
    ];
  }

  async function open(filter) {
    const { rows, run, file, detail } = shown, row = rows.light[filter.row];
    document.body.classList.toggle("reading", Boolean(row));
    if (!row) {
      detail.replaceChildren(h("p", { class: "quiet" }, "Choose a response: click it, or press j."));
      return;
    }
    const has = tabs(row), tab = has.includes(filter.tab) ? filter.tab : "response";
    const link = (name) => rlsp.link("responses", { ...filter, run, file, tab: name });
    const head = [
      h("header", {}, h("a", { class: "back", href: rlsp.link("responses", { ...filter, run, file, row: null, tab: null }) }, "← All responses"),
        h("h2", {}, rlsp.badge(row.value, row.outcome), " ", row.id, " ", h("span", { class: "quiet" }, rlsp.rowName(row)))),
      h("nav", { class: "tabs", "aria-label": "Views of the response" }, has.map((name) =>
        h("a", { href: link(name), "aria-current": name === tab ? "true" : null }, TABS[name], name === "group" && ` of ${rlsp.groupOf(rows, row).length}`))),
    ];
    const body = await BODIES[tab](row);
    if (rlsp.address().filter.row !== filter.row) return; // another one was chosen meanwhile
    detail.replaceChildren(...head, ...[body].flat(Infinity).filter(Boolean));
    detail.scrollTop = 0;
  }

  function tabs(row) {
    const { rows, run, file } = shown, isSearch = row.kind === "search" && rlsp.runs[run].files[file].trees;
    return ["response", rlsp.groupOf(rows, row).length > 1 && "group", "same", isSearch && "tree"].filter(Boolean);
  }

  const BODIES = {
    response: async (row) => rlsp.response(await shown.rows.whole(row.number)),
    group: (row) => rlsp.group(shown.rows, row),
    same: (row) => rlsp.elsewhere(shown.run, shown.file, row),
    tree: async (row) => rlsp.tree(await rlsp.get(`tree/${shown.run}/${shown.file}/${row.number}`)),
  };

  // New rows and files of a run that trains; what is open stays.
  async function refresh(page) {
    if (!shown || !page.contains(shown.list.element)) return show(page, rlsp.address().filter);
    rlsp.fillFiles(shown.form);
    const before = shown.rows.light.length;
    await shown.rows.update();
    if (shown.rows.light.length !== before) await apply();
  }

  const KEYS = {
    j: () => shown.list.move(1),
    k: () => shown.list.move(-1),
    "/": () => shown.form.elements.q.focus(),
    f: () => toggle(),
    r: () => tab("response"), g: () => tab("group"), s: () => tab("same"), t: () => tab("tree"),
    Escape: () => { rlsp.go("responses", { ...shown.filter, row: null, tab: null }, { keep: true }); shown.list.element.focus(); },
  };

  const tab = (name) => rlsp.go("responses", { ...shown.filter, tab: name }, { keep: true });

  function toggle() {
    const filters = shown.form.querySelector("details");
    filters.open = !filters.open;
    if (filters.open) filters.querySelector("input, select").focus();
  }

  rlsp.pages = { ...rlsp.pages, responses: { show, refresh, keys: KEYS } };
})();
