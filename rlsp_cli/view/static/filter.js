// What is shown, as the part of the address behind #: a page, and the values of its filters.
"use strict";
(() => {
  // "#responses?run=0&step=3-8" as {page, filter}.
  rlsp.address = () => {
    const [page, query] = location.hash.slice(1).split("?");
    return { page: page || "overview", filter: Object.fromEntries(new URLSearchParams(query)) };
  };

  rlsp.link = (page, filter = {}) => {
    const given = Object.entries(filter).filter(([, value]) => value != null && value !== "");
    const query = new URLSearchParams(given.map(([name, value]) => [name, String(value)]));
    return `#${page}` + (given.length ? `?${query}` : "");
  };

  // Go on with some values changed; without `keep` the way back leads to the values before.
  rlsp.go = (page, filter, { keep = false } = {}) => {
    const hash = rlsp.link(page, filter);
    if (keep) history.replaceState(null, "", hash);
    else location.hash = hash;
    if (keep) dispatchEvent(new HashChangeEvent("hashchange"));
  };

  // "3-8", "0.5..1", "3.." or "3", as its two ends.
  rlsp.range = (text) => {
    const number = "(-?(?:\\d+\\.?\\d*|\\.\\d+)?)";
    const parts = new RegExp(`^\\s*${number}\\s*(\\.\\.|-|–)?\\s*${number}\\s*$`).exec(text || "");
    if (!parts) return [-Infinity, Infinity];
    const [, low, between, high] = parts;
    const end = between ? high : low;
    return [low === "" ? -Infinity : Number(low), end === "" ? Infinity : Number(end)];
  };

  // Whether a light row is asked for; `behaviours` are the names of `counts`, by row.
  rlsp.matcher = (filter, behaviours, counts) => {
    const [first, last] = rlsp.range(filter.step);
    const [low, high] = rlsp.range(filter.reward);
    const behaviour = behaviours.indexOf(filter.behaviour);
    const tests = [];

    if (filter.step) tests.push((row) => row.step + 1 >= first && row.step + 1 <= last);
    if (filter.reward) tests.push((row) => row.reward != null && row.reward >= low && row.reward <= high);
    if (filter.right) tests.push((row) => rlsp.verdict(row.value, "unscored") === filter.right);
    if (filter.outcome) tests.push((row) => row.outcome === filter.outcome);
    if (filter.kind) tests.push((row) => row.kind === filter.kind);
    if (filter.id) tests.push((row) => row.id === filter.id);
    if (filter.truncated) tests.push((row) => row.truncated === (filter.truncated === "yes"));
    if (behaviour >= 0) tests.push((row) => counts[row.number]?.[behaviour] > 0);
    return (row) => tests.every((test) => test(row));
  };

  // Rows in the order that is asked for, such as "-reward"; unknown values come last.
  rlsp.sorted = (rows, order) => {
    if (!order) return rows;
    const down = order.startsWith("-"), field = order.replace("-", "");
    const value = (row) => row[field] ?? (down ? -Infinity : Infinity);
    return [...rows].sort((a, b) => (down ? value(b) - value(a) : value(a) - value(b)));
  };
})();
