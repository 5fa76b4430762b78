"""Curves over steps, as SVG text. Correctness and exploration never share an axis."""

import io
from collections.abc import Sequence
from typing import Any

PPO_PLOTS = {
    "Correctness": ["correctness/mean"],
    "Exploration": ["exploration/"],
    "Response length in tokens": ["response/tokens"],
    "Search behaviours per response": ["behaviour/"],
    "Truncation, repetition, answer rate": ["response/truncated", "response/repetition", "response/answered"],
    "KL to the reference per response, in nats": ["kl/response"],
}
SFT_PLOTS = {"SFT loss per response token": ["loss"]}


def plots(rows: Sequence[dict[str, Any]], wanted: dict[str, list[str]]) -> list[str]:
    """One SVG for each title whose keys (a final `/` means all below) occur in the rows."""
    keys = {
        title: [k for k in _keys(rows) if any(k == w or (w[-1] == "/" and k.startswith(w)) for w in prefixes)]
        for title, prefixes in wanted.items()
    }
    return [_svg(rows, title, found) for title, found in keys.items() if found]


def _svg(rows: Sequence[dict[str, Any]], title: str, keys: Sequence[str]) -> str:
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    with pyplot.rc_context({"svg.hashsalt": "rlsp", "svg.fonttype": "path", "font.size": 9}):
        figure, axes = pyplot.subplots(figsize=(4.6, 2.5), layout="constrained")
        for key in keys:
            points = [(row["step"], row[key]) for row in rows if key in row]
            axes.plot(*zip(*points, strict=True), label=key.removesuffix("/mean").split("/")[-1], linewidth=1.4)
        axes.set_title(title, fontsize=10, loc="left")
        axes.set_xlabel("step")
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        if len(keys) > 1:
            axes.legend(frameon=False)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
        pyplot.close(figure)
    return text.getvalue()[text.getvalue().index("<svg") :]


def _keys(rows: Sequence[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(key for row in rows for key in row))
