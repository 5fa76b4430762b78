// The page that the address names, keys, and looking for news of runs that train.
"use strict";
(() => {
  const EVERY_MS = 3000;
  const page = document.getElementById("page"), help = document.getElementById("help");
  let turn = Promise.resolve(); // one change of the page after the other

  const known = () => rlsp.pages[rlsp.address().page] || rlsp.pages.overview;

  async function runs() {
    const answer = await rlsp.get("runs");
    [rlsp.runs, rlsp.pieceSize] = [answer.runs, answer.piece];
    document.title = `${rlsp.runs.map((run) => run.name).join(", ")} - rlsp view`;
  }

  function show() {
    const { page: name, filter } = rlsp.address();
    for (const link of document.querySelectorAll("[data-page]")) {
      link.toggleAttribute("aria-current", link.dataset.page === name);
    }
    if (name !== "responses" && name !== "compare") document.body.classList.remove("reading");
    document.body.dataset.page = name;
    turn = turn.then(() => known().show(page, filter)).catch(rlsp.fail);
  }

  // One line at the foot of the page: the last error, until something works again.
  rlsp.fail = (error) => {
    document.getElementById("error")?.remove();
    document.body.append(rlsp.h("p", { id: "error", class: "note", role: "alert" }, `${error.message || error}; reload the page to try again`));
  };

  async function look() {
    try {
      if (document.visibilityState === "visible") {
        await runs();
        document.getElementById("error")?.remove();
        turn = turn.then(() => known().refresh(page));
        await turn;
      }
    } catch (error) {
      turn = Promise.resolve();
      rlsp.fail(error);
    }
    setTimeout(look, EVERY_MS);
  }

  const KEYS = {
    1: () => rlsp.go("overview"),
    2: () => rlsp.go("responses"),
    3: () => rlsp.go("compare"),
    "?": () => help.showModal(),
  };

  function key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || help.open) return;
    const typing = event.target.closest("input, select, textarea");
    if (typing) {
      if (event.key === "Escape") typing.blur();
      return;
    }
    const call = KEYS[event.key] || known().keys?.[event.key];
    if (!call) return;
    event.preventDefault();
    call();
  }

  addEventListener("hashchange", show);
  addEventListener("keydown", key);
  document.getElementById("help-button").addEventListener("click", () => help.showModal());
  document.querySelector(".skip").addEventListener("click", (event) => { event.preventDefault(); page.focus(); });

  runs().then(show).then(() => rlsp.grows && setTimeout(look, EVERY_MS)).catch(rlsp.fail);
})();
