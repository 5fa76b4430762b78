// Elements and numbers. Text becomes text nodes and never markup, whatever a model wrote.
//
// These are classic scripts that share one name: browsers load no modules from a disk.
"use strict";
const rlsp = {};

(() => {
  const SVG = "http://www.w3.org/2000/svg";

  // h("p", {class: "quiet", onclick: f}, "text", child, null) is an element.
  rlsp.h = (tag, attributes = {}, ...children) =>
    fill(document.createElement(tag), attributes, children);

  rlsp.svg = (tag, attributes = {}, ...children) =>
    fill(document.createElementNS(SVG, tag), attributes, children);

  function fill(element, attributes, children) {
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else if (value === true) element.setAttribute(name, "");
      else if (value !== false && value != null) element.setAttribute(name, value);
    }
    element.append(...children.flat(Infinity).filter((child) => child != null && child !== false));
    return element;
  }

  // "0.125", "1,234", "1.2e-7"; a dash for what is unknown.
  rlsp.number = (value) => {
    if (value == null) return "–";
    if (Number.isInteger(value)) return value.toLocaleString("en");
    const size = Math.abs(value);
    if (size < 1e-3 || size >= 1e6) return value.toExponential(1);
    return size < 100 ? String(Number(value.toPrecision(3))) : Math.round(value).toLocaleString("en");
  };

  rlsp.isRight = (value) => value != null && value > 0.5;

  // right, wrong, or how it ended without a verdict.
  rlsp.verdict = (value, outcome) =>
    value == null ? outcome || "unscored" : rlsp.isRight(value) ? "right" : "wrong";

  rlsp.badge = (value, outcome) => {
    const word = rlsp.verdict(value, outcome);
    const sign = { right: "✓", wrong: "✗" }[word] || "!";
    return rlsp.h("span", { class: `badge ${value == null ? "unscored" : word}` },
      rlsp.h("span", { "aria-hidden": "true" }, sign), " ", word);
  };

  // Only the last of calls that follow each other closely is made.
  rlsp.later = (call, ms) => {
    let timer;
    return (...values) => {
      clearTimeout(timer);
      timer = setTimeout(() => call(...values), ms);
    };
  };
})();
