// One response: its verdict, what it said, each component of its reward with its reason.
"use strict";
(() => {
  const { h } = rlsp;
  const SHORT = 600; // characters of a prompt that is shown opened

  // The response in full.
  rlsp.response = ({ row, marks }) => [
    facts(row),
    asked(row),
    h("section", {}, h("h3", {}, "Response"), said(row, marks)),
    h("section", {}, h("h3", {}, "Components of the reward"), components(row)),
    row.metadata && Object.keys(row.metadata).length > 0 && h("details", {},
      h("summary", {}, "Metadata"), h("pre", {}, JSON.stringify(row.metadata, null, 2))),
  ];

  // The same beside others: without what they share.
  rlsp.card = ({ row, marks }, head, differing) => h("article", { class: "card" },
    h("header", {}, head, h("p", {}, rlsp.badge(row.correctness.value, row.correctness.outcome), " ", brief(row))),
    differing ? h("pre", {}, differing) : said(row, marks),
    components(row));

  const brief = (row) => h("span", { class: "quiet" },
    [row.reward !== undefined && `reward ${rlsp.number(row.reward)}`, row.num_tokens != null && `${row.num_tokens} tokens`,
      row.truncated && "truncated"].filter(Boolean).join(" · "));

  const facts = (row) => h("dl", { class: "facts" }, [
    ["reward", row.reward === undefined ? null : rlsp.number(row.reward)],
    ["answer", row.correctness.answer],
    ["reference", row.reference],
    ["tokens", row.num_tokens == null ? null : `${row.num_tokens}` + (row.max_tokens ? ` of ${row.max_tokens}` : "")],
    ["truncated", row.truncated ? "yes" : null],
    ["turns", row.turns ? [row.turns.outcome, row.turns.reason].filter(Boolean).join(": ") : null],
  ].filter(([, value]) => value != null && value !== "").flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));

  function asked(row) {
    const text = row.prompt ?? row.problem ?? "";
    return text && h("details", { open: text.length <= SHORT },
      h("summary", {}, row.prompt === undefined ? "Problem" : "Prompt"), h("pre", {}, text));
  }

  // The text with its marks; in turns where some came from elsewhere, in steps where they are scored.
  function said(row, marks) {
    if (row.turns) return turns(row, marks);
    const scored = (row.exploration || []).filter((part) => part.steps);
    if (!scored.length) return h("pre", {}, rlsp.marked(row.response, marks));
    return scored.map((part) => [
      scored.length > 1 && h("p", { class: "quiet" }, part.component),
      h("pre", { class: "steps" }, rlsp.stepped(row.response, marks, part.steps)),
    ]).flat();
  }

  function turns({ turns: { said }, response }, marks) {
    const own = said.filter((turn) => turn.by === "model").map((turn) => turn.text).join("");
    let at = 0;
    return h("div", { class: "turns" }, said.map(({ by, text }) => {
      if (by !== "model") return h("div", { class: "foreign" }, h("span", { class: "by" }, by), h("pre", {}, text));
      const from = at;
      at += [...text].length;
      const mine = own === response ? rlsp.within(marks, from, at) : [];
      return h("pre", {}, rlsp.marked(text, mine));
    }));
  }

  const components = (row) => h("table", { class: "components" },
    h("thead", {}, h("tr", {}, ["component", "value", "reason"].map((name) => h("th", {}, name)))),
    h("tbody", {}, [row.correctness, ...(row.exploration || [])].map((part) => h("tr", {},
      h("td", {}, part.component),
      h("td", { class: part.outcome === "value" ? "number" : "number unscored" }, part.outcome === "value" ? rlsp.number(part.value) : part.outcome),
      h("td", { class: "reason" }, [part.reason, part.answer != null && `answer: ${part.answer}`, checks(part)].filter(Boolean).join("; "))))));

  const checks = (part) => part.checks && Object.entries(part.checks)
    .map(([rule, kept]) => `${rule}: ${kept.filter(Boolean).length} of ${kept.length}`).join(", ");
})();
