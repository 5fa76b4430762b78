// The tree of a search: the same picture as the report's, with the steps below it as text.
"use strict";
(() => {
  const { h, svg } = rlsp;

  rlsp.tree = (tree) => {
    const read = h("div", { class: "node", "aria-live": "polite" }, h("p", { class: "quiet" }, "Choose a step to read it."));
    const show = (node, circle) => {
      for (const other of circle.parentNode.querySelectorAll(".chosen")) other.classList.remove("chosen");
      circle.classList.add("chosen");
      const words = [`step ${node.depth}`, `score ${rlsp.number(node.score)}`, node.taken && "on the path to the answer",
        node.ended && (node.truncated ? "cut" : "ended")];
      read.replaceChildren(h("p", { class: "quiet" }, words.filter(Boolean).join(" · ")), h("pre", {}, node.text || "(no text)"));
    };

    const lines = tree.edges.map(([from, to]) => line(tree.nodes[from], tree.nodes[to]));
    const circles = tree.nodes.map((node) => circle(node, show));
    const drawn = tree.nodes.length - 1;
    return [
      h("p", { class: "quiet" }, `${tree.total} steps` + (drawn < tree.total ? `, ${drawn} of them drawn` : "") +
        "; colour is the score, from low (orange) to high (blue); thick lines lead to the answer."),
      h("div", { class: "wide tree" }, svg("svg", { width: tree.width, height: tree.height, role: "group",
        "aria-label": `Tree of ${tree.total} steps` }, lines, circles)),
      read,
    ];
  };

  const line = (from, to) =>
    svg("line", { x1: from.x, y1: from.y, x2: to.x, y2: to.y, class: to.taken ? "taken" : "" });

  function circle(node, show) {
    const element = svg("circle", {
      cx: node.x, cy: node.y, r: 4.5, tabindex: node.taken ? 0 : -1, role: "button",
      class: (node.percent == null ? "" : "scored") + (node.ended ? " ended" : ""),
      "aria-label": `step ${node.depth}, score ${rlsp.number(node.score)}`,
      onclick: () => show(node, element), onfocus: () => show(node, element),
    });
    if (node.percent != null) element.style.setProperty("--share", `${node.percent}%`);
    return element;
  }
})();
