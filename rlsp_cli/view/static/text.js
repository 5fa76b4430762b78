// A response as text nodes: words of behaviours, steps with their scores, differences to another.
"use strict";
(() => {
  const MOST_WORDS = 1500; // of each text, whose differences are looked for

  // A text with [start, end, behaviour] marked. Places count characters as Python does, not
  // JavaScript's halves of some of them.
  rlsp.marked = (text, marks) => {
    const characters = [...text], parts = [];
    let at = 0;
    for (const [start, end, behaviour] of marks) {
      if (start < at) continue; // words of two behaviours may overlap
      parts.push(characters.slice(at, start).join(""));
      parts.push(rlsp.h("mark", { title: behaviour }, characters.slice(start, end).join("")));
      at = end;
    }
    return [...parts, characters.slice(at).join("")].filter((part) => part !== "");
  };

  // The marks within part of a text, from the part's beginning.
  rlsp.within = (marks, from, to) =>
    marks.filter(([start, end]) => start >= from && end <= to)
      .map(([start, end, behaviour]) => [start - from, end - from, behaviour]);

  // A response cut into its steps, each with its score.
  rlsp.stepped = (text, marks, steps) => {
    const characters = [...text], parts = [];
    let at = 0;
    for (const [start, end, score, value] of steps) {
      if (start > at) parts.push(...piece(at, start));
      const title = `score ${rlsp.number(score)}, after refinements ${rlsp.number(value)}`;
      parts.push(rlsp.h("span", { class: "step", title }, rlsp.h("span", { class: scoreClass(score) }, rlsp.number(score)), piece(start, end)));
      at = end;
    }
    return at < characters.length ? [...parts, ...piece(at, characters.length)] : parts;

    function piece(from, to) {
      return rlsp.marked(characters.slice(from, to).join(""), rlsp.within(marks, from, to));
    }
  };

  const scoreClass = (score) =>
    "score " + (score == null ? "none" : score > 2 / 3 ? "high" : score > 1 / 3 ? "middle" : "low");

  // `text` with the words marked that `other` does not have in this order.
  rlsp.differing = (text, other) => {
    const mine = words(text), theirs = words(other);
    if (Math.max(mine.length, theirs.length) > 2 * MOST_WORDS) return [text];
    const common = inBoth(mine, theirs), parts = [];
    mine.forEach((word, place) => {
      const isNew = !common.has(place) && word.trim() !== "";
      const last = parts[parts.length - 1];
      if (last && last.isNew === isNew) last.text += word;
      else parts.push({ isNew, text: word });
    });
    return parts.map((part) => (part.isNew ? rlsp.h("ins", {}, part.text) : part.text));
  };

  const words = (text) => text.match(/\s+|\S+/g) || [];

  // The places in `a` of a longest common subsequence of `a` and `b`.
  function inBoth(a, b) {
    const width = b.length + 1, longest = new Uint16Array((a.length + 1) * width);
    for (let i = a.length - 1; i >= 0; i--) {
      for (let j = b.length - 1; j >= 0; j--) {
        longest[i * width + j] = a[i] === b[j]
          ? longest[(i + 1) * width + j + 1] + 1
          : Math.max(longest[(i + 1) * width + j], longest[i * width + j + 1]);
      }
    }
    const places = new Set();
    for (let i = 0, j = 0; i < a.length && j < b.length;) {
      if (a[i] === b[j]) { places.add(i); i++; j++; }
      else if (longest[(i + 1) * width + j] >= longest[i * width + j + 1]) i++;
      else j++;
    }
    return places;
  }
})();
