// Where the data come from: the server that served this page, or scripts beside it in a folder.
"use strict";
(() => {
  const waiting = new Map();

  // Whether more may come: an exported folder stays as it is.
  rlsp.grows = document.documentElement.dataset.source === "served";

  // The document of a name; those that grow are asked for from `start` on.
  rlsp.get = (name, start) => (rlsp.grows ? fetched(name, start) : loaded(name, start));

  async function fetched(name, start) {
    const answer = await fetch(`data/${name}` + (start === undefined ? "" : `?start=${start}`));
    if (!answer.ok) throw new Error(`${name}: the server answered ${answer.status}`);
    return answer.json();
  }

  function loaded(name, start) {
    const full = start === undefined ? name : `${name}/${start}`;
    return new Promise((resolve, reject) => {
      const script = rlsp.h("script", {
        src: `data/${full}.js`,
        onload: () => script.remove(),
        onerror: () => {
          script.remove();
          reject(new Error(`data/${full}.js is missing from this folder`));
        },
      });
      waiting.set(full, [...(waiting.get(full) || []), resolve]);
      document.head.append(script);
    });
  }

  // Called by the scripts of an exported folder. Text, because JSON is read faster than code.
  rlsp.arrived = (name, text) => {
    for (const resolve of waiting.get(name) || []) resolve(JSON.parse(text));
    waiting.delete(name);
  };
})();
