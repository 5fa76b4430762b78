"""Curves over steps, as SVG text. Correctness and exploration never share an axis."""

import io
from collections.abc import Sequence
from fnmatch import fnmatch
from html import escape
from typing import Any

PPO_PLOTS = {
    "Correctness": ["correctness/mean"],
    "Exploration": ["exploration/*/mean"],
    "Correlation of exploration with length and correctness": ["exploration/*/corr_*"],
    "Response length in tokens": ["response/tokens"],
    "Search behaviours per response": ["behaviour/*"],
    "Truncation, repetition, answer rate": [
        "response/truncated",
        "response/repetition",
        "response/answered",
    ],
    "Wrong over right, groups of equal rewards": [
        "reward/wrong_over_right",
        "reward/flat_groups",
    ],
    "KL to the reference per response, in nats": ["kl/response"],
}
SHARES = (
    "correctness/mean",
    "response/truncated",
    "response/repetition",
    "response/answered",
    "reward/*",
)
"""Keys of the plots above that lie between 0 and 1."""
SFT_PLOTS = {"SFT loss per response token": ["loss"]}


def plots(rows: Sequence[dict[str, Any]], wanted: dict[str, list[str]]) -> list[str]:
    """One SVG for each title whose keys (with `*` as in file names) occur in the rows."""
    known = _keys(rows)
    figures = []
    for title, patterns in wanted.items():
        keys = [key for key in known if _matches(key, patterns)]
        if keys:
            figures.append(_svg(rows, title, keys))
    return figures


def _svg(rows: Sequence[dict[str, Any]], title: str, keys: Sequence[str]) -> str:
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot
    from matplotlib.ticker import MaxNLocator

    with pyplot.rc_context({"svg.hashsalt": "rlsp", "svg.fonttype": "path", "font.size": 9}):
        figure, axes = pyplot.subplots(figsize=(4.6, 2.5), layout="constrained")
        for key in keys:
            points = [(row["step"], row[key]) for row in rows if key in row]
            mark = "o" if len(points) == 1 else None
            axes.plot(*zip(*points, strict=True), label=_label(key), linewidth=1.4, marker=mark)
        axes.set_title(title, fontsize=10, loc="left")
        axes.set_xlabel("step")
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(nbins="auto", steps=[1, 2, 5, 10], integer=True))
        if all(_is_share(key) for key in keys):
            axes.set_ylim(-0.02, 1.02)
        if len(keys) > 1 or _label(keys[0]) not in title.lower():
            figure.legend(frameon=False, loc="outside lower center", ncols=3, fontsize=8)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
        pyplot.close(figure)
    described = f'<svg role="img" aria-label="{escape(_described(rows, title, keys))}"'
    return text.getvalue()[text.getvalue().index("<svg") :].replace("<svg", described, 1)


def _described(rows: Sequence[dict[str, Any]], title: str, keys: Sequence[str]) -> str:
    """The plot in words: where each curve begins and ends."""
    curves = []
    for key in keys:
        values = [row[key] for row in rows if key in row]
        curves.append(f"{_label(key)} from {values[0]:.3g} to {values[-1]:.3g}")
    return f"{title}: " + "; ".join(curves)


def _is_share(key: str) -> bool:
    return _matches(key, SHARES) or key.endswith(("/greedy", "/sampled"))


def _matches(key: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch(key, pattern) for pattern in patterns)


def _label(key: str) -> str:
    """The key without what the title says."""
    if fnmatch(key, "exploration/*/corr_*"):
        return key.removeprefix("exploration/").replace("/corr_", " and ")
    return key.removesuffix("/mean").rpartition("/")[2].replace("_", " ")


def _keys(rows: Sequence[dict[str, Any]]) -> list[str]:
    """All keys, in the order in which they first occur."""
    keys: dict[str, None] = {}
    for row in rows:
        keys |= dict.fromkeys(row)
    return list(keys)
