// The filters of the responses: a form whose values are those of the address.
"use strict";
(() => {
  const { h } = rlsp;
  const SORTS = { "": "as in the file", "-reward": "highest reward", reward: "lowest reward", "-tokens": "longest", tokens: "shortest" };

  // A form for the filters of a file; `change` is called with the new values.
  rlsp.form = (filter, run, file, change) => {
    const rollouts = rlsp.runs[run].files[file].bench === null;
    const form = h("form", { class: "filters", role: "search", onsubmit: (event) => event.preventDefault() },
      h("div", { class: "main" }, fileChoice(run, file, change),
        field("q", "Search", h("input", { type: "search", placeholder: "in prompts and responses", value: filter.q || "" }))),
      h("details", { open: matchMedia("(min-width: 60rem)").matches || Object.keys(filter).some((name) => name in NAMES) },
        h("summary", {}, "Filters"),
        h("div", { class: "fields" },
          rollouts && field("step", "Step", text(filter.step, "3 or 3-8")),
          field("right", "Verdict", choice(filter.right, ["right", "wrong", "unscored"])),
          field("outcome", "Outcome", choice(filter.outcome, ["value", "abstain", "error", "timeout"])),
          field("truncated", "Truncated", choice(filter.truncated, ["yes", "no"])),
          field("behaviour", "Behaviour", choice(filter.behaviour, rlsp.runs[run].behaviours)),
          rollouts && field("reward", "Reward", text(filter.reward, "0.5..1")),
          !rollouts && field("kind", "Kind", choice(filter.kind, ["greedy", "sample", "forced", "search"])),
          field("id", "Problem", text(filter.id, "id")),
          field("sort", "Order", h("select", {}, Object.entries(SORTS).map(([value, label]) =>
            h("option", { value, selected: value === (filter.sort || "") }, label)))),
          h("button", { type: "button", onclick: () => change({ run, file }) }, "Clear"))));
    form.addEventListener("input", rlsp.later(() => change({ run, file, ...values(form) }), 200));
    return form;
  };

  // Show the values of an address that changed by other means, but not in a field that is being typed in.
  rlsp.fillForm = (form, filter) => {
    for (const input of form.elements) {
      if (input.name && input !== document.activeElement) input.value = filter[input.name] || "";
    }
  };

  // Add the files that have come since; their numbers stay.
  rlsp.fillFiles = (form) => {
    const select = form.querySelector(".files"), { value } = select;
    if (select.options.length === rlsp.files().length) return;
    select.replaceChildren(...fileOptions());
    select.value = value;
  };

  const NAMES = { step: 1, right: 1, outcome: 1, truncated: 1, behaviour: 1, reward: 1, kind: 1, id: 1, sort: 1 };

  function field(name, label, input) {
    input.name = name;
    return h("label", {}, h("span", {}, label), input);
  }

  const text = (value, placeholder) => h("input", { type: "text", value: value || "", placeholder, size: 8 });

  const choice = (value, words) => h("select", {}, h("option", { value: "" }, "any"),
    words.map((word) => h("option", { value: word, selected: word === value }, word.replace("_", " "))));

  // All files of all runs; another one keeps no filters, which may not fit it.
  function fileChoice(run, file, change) {
    const select = h("select", { class: "files", onchange: () => {
      const [newRun, newFile] = select.value.split("/").map(Number);
      change({ run: newRun, file: newFile });
    } }, fileOptions());
    select.value = `${run}/${file}`;
    select.addEventListener("input", (event) => event.stopPropagation());
    return h("label", {}, h("span", {}, "Responses of"), select);
  }

  const fileOptions = () => rlsp.files().map((one) =>
    h("option", { value: `${one.run}/${one.file}` }, rlsp.fileName(one.run, one.file)));

  const values = (form) => Object.fromEntries(new FormData(form));
})();
