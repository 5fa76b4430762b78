// The overview: runs, alarms, accuracy, and the curves of every metric with runs over each other.
"use strict";
(() => {
  const { h } = rlsp;

  // Title -> what its metrics begin with. Correctness and exploration stand apart.
  const PARTS = [
    ["Correctness", /^(correctness|heldout)\//],
    ["Exploration", /^exploration\//],
    ["Reward", /^(reward|return|value|advantage)\/|^alpha$|^hinted/],
    ["Responses", /^(response|turns)\/|^filtered|^unused/],
    ["Search behaviours", /^behaviour\//],
    ["KL and entropy", /^(kl|mismatch)\/|^entropy$/],
    ["Losses and optimisation", /loss|grad_norm|^lr|clip_fraction|explained_variance|accuracy|f1_wrong|^reward_/],
    ["Unscored components", /^outcome\//],
    ["Cost", /^time\/|^tokens/],
    ["Others", /./],
  ];
  const NO_CURVES = ["step", "total_steps", "text"];

  // Alarm -> the metrics that show it, and the responses of those steps that show it best.
  const ALARMS = {
    length_without_gain: { keys: /^response\/(tokens|answered)$|^correctness\/mean$/, look: { sort: "-tokens" } },
    kl_jump: { keys: /^kl\/response$/, look: {} },
    no_variance: { keys: /^reward\/(std|flat_groups)$/, look: {} },
    repetition: { keys: /^response\/repetition$/, look: { sort: "-tokens" } },
    wrong_over_right: { keys: /^reward\/wrong_over_right$/, look: { right: "wrong", sort: "-reward" } },
    repeated_steps: { keys: /\/from_repeats$/, look: { sort: "-reward" } },
  };
  const MOST_ROWS = 8; // of the accuracy table, which would push the curves out of sight
  const WINDOW = 5; // steps whose mean an alarm looks at

  const metrics = new Map(); // "RUN/STAGE" -> {rows, alarms, damaged, timesAnew}
  const hidden = new Set(); // runs that are switched off
  let smooth = 1, wanted = "";

  // Read new rows of all runs; whether there were some.
  async function update() {
    let isNew = false;
    for (const [number, run] of rlsp.runs.entries()) {
      for (const stage of run.stages) isNew = (await read(`${number}/${stage}`)) || isNew;
    }
    return isNew;
  }

  async function read(place) {
    const known = metrics.get(place);
    if (known && !rlsp.grows) return false;
    const answer = await rlsp.get(`metrics/${place}`, known ? known.rows.length : 0);
    if (known && known.timesAnew !== answer.times_anew) {
      metrics.delete(place);
      return read(place);
    }
    const rows = [...(known ? known.rows : []), ...answer.rows];
    metrics.set(place, { rows, alarms: answer.alarms, damaged: answer.damaged, timesAnew: answer.times_anew });
    return answer.rows.length > 0;
  }

  const parts = { runs: h("div", {}), alarms: h("div", {}), accuracy: h("div", {}), plots: h("div", {}) };

  async function show(page) {
    await update();
    page.replaceChildren(parts.runs, parts.alarms, parts.accuracy, controls(), parts.plots);
    parts.runs.replaceChildren(runCards());
    parts.accuracy.replaceChildren(...accuracy());
    draw();
  }

  // What changes with new rows and with the runs that are shown.
  function draw() {
    parts.alarms.replaceChildren(...alarmList());
    parts.plots.replaceChildren(...stages());
  }

  async function refresh() {
    const isNew = await update();
    renew(parts.runs, [runCards()]);
    renew(parts.accuracy, accuracy());
    if (isNew) draw();
  }

  // What reads the same stays, since it may be in use.
  function renew(part, elements) {
    if (elements.map((one) => one.textContent).join("") !== part.textContent) part.replaceChildren(...elements);
  }

  const runCards = () => h("section", { class: "runs", "aria-label": "Runs" }, rlsp.runs.map((run, number) => {
    const box = h("input", { type: "checkbox", checked: !hidden.has(number), onchange: () => {
      if (box.checked) hidden.delete(number);
      else hidden.add(number);
      draw();
    } });
    return h("div", { class: "run" },
      h("label", {}, box, h("span", { class: `swatch run-${number % 8}` }), h("b", {}, run.name)),
      h("p", { class: "quiet" }, [run.state, progress(number), run.created.slice(0, 16).replace("T", " ")].filter(Boolean).join(" · ")),
      (run.outcome || []).map((sentence) => h("p", {}, `${sentence}.`)),
      [run.message, run.note, damaged(number)].filter(Boolean).map((text) => h("p", { class: "note" }, text)));
  }));

  function progress(number) {
    const parts = rlsp.runs[number].stages.map((stage) => {
      const last = metrics.get(`${number}/${stage}`)?.rows.at(-1); // none yet of a stage that has just begun
      return last && `${stage} step ${last.step + 1}` + (last.total_steps ? ` of ${last.total_steps}` : "");
    });
    return parts.filter(Boolean).join(", ");
  }

  function damaged(number) {
    const files = rlsp.runs[number].stages.map((stage) => [stage, metrics.get(`${number}/${stage}`)?.damaged]);
    return files.filter(([, lines]) => lines).map(([stage, lines]) => `damaged lines left out of ${stage}/metrics.jsonl: ${lines}`).join("; ");
  }

  // The alarms of a run's PPO, each with a link to the responses behind it.
  function alarmsOf(number) {
    const known = metrics.get(`${number}/ppo`), run = rlsp.runs[number];
    const file = run.files.findIndex((one) => one.bench === null);
    return (known ? known.alarms : []).map((alarm) => {
      const { keys, look } = ALARMS[alarm.kind] || { keys: /^$/, look: {} };
      const last = alarm.step + 1, step = `${Math.max(1, last - WINDOW + 1)}-${last}`;
      const href = rlsp.link("responses", { run: number, file, step, ...look });
      return { step: last, text: `${run.name}: ${alarm.text}`, keys, href: file < 0 ? "#overview" : href };
    });
  }

  function alarmList() {
    const found = rlsp.runs.flatMap((_, number) => alarmsOf(number));
    return found.map(({ text, href }) => h("p", { class: "note" }, text, " ", h("a", { href }, "See the responses")));
  }

  function accuracy() {
    const rows = rlsp.runs.flatMap((run) => (run.accuracy || []).map((cells) => [run.name, ...cells]));
    if (!rows.length) return [];
    const head = ["run", "model", "bench", "responses", "accuracy % (95% interval)"];
    return [h("details", { open: rows.length <= MOST_ROWS }, h("summary", {}, "Accuracy"), h("div", { class: "wide", tabindex: 0, role: "region", "aria-label": "Accuracy" },
      h("table", {}, h("thead", {}, h("tr", {}, head.map((cell) => h("th", {}, cell)))),
        h("tbody", {}, rows.map((cells) => h("tr", {}, cells.map((cell) => h("td", {}, cell))))))))];
  }

  const controls = () => h("div", { class: "controls" },
    h("label", {}, "Metric ", h("input", { type: "search", placeholder: "all", value: wanted,
      oninput: rlsp.later((event) => { wanted = event.target.value; draw(); }, 150) })),
    h("label", {}, "Mean over ", h("select", { onchange: (event) => { smooth = Number(event.target.value); draw(); } },
      [1, 5, 20, 100].map((n) => h("option", { value: n, selected: n === smooth }, n === 1 ? "each step" : `${n} steps`)))));

  // PPO before SFT: it is what the page is opened for.
  const stages = () => ["ppo", "sft"].flatMap((stage) => {
    const parts = charts(stage);
    return parts.length ? [h("h2", {}, stage === "ppo" ? "PPO, over steps" : "SFT, over steps"), ...parts] : [];
  });

  function charts(stage) {
    const shown = [...rlsp.runs.keys()].filter((number) => !hidden.has(number) && metrics.has(`${number}/${stage}`));
    const keys = new Set(shown.flatMap((number) => keysOf(metrics.get(`${number}/${stage}`).rows)));
    const alarms = stage === "ppo" ? shown.flatMap(alarmsOf) : [];

    const left = [...keys].filter((key) => key.toLowerCase().includes(wanted.toLowerCase()));
    return PARTS.flatMap(([title, pattern]) => {
      const mine = left.filter((key) => pattern.test(key));
      for (const key of mine) left.splice(left.indexOf(key), 1);
      const figures = mine.map((key) => figure(key, stage, shown, alarms.filter((one) => one.keys.test(key))));
      return mine.length ? [h("h3", {}, title), h("div", { class: "charts" }, figures)] : [];
    });
  }

  function keysOf(rows) {
    const keys = new Set();
    for (const row of rows) for (const key in row) keys.add(key);
    return [...keys].filter((key) => !NO_CURVES.includes(key));
  }

  function figure(key, stage, shown, alarms) {
    const series = [];
    for (const number of shown) {
      const points = [];
      for (const row of metrics.get(`${number}/${stage}`).rows) if (key in row) points.push([row.step + 1, row[key]]);
      if (points.length) series.push({ name: rlsp.runs[number].name, colour: number % 8, points: rlsp.smoothed(points, smooth) });
    }
    return rlsp.chart(key, series, alarms);
  }

  rlsp.pages = { ...rlsp.pages, overview: { show, refresh } };
})();
