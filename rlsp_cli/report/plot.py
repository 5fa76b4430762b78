"""Curves over steps, as SVG text. Correctness and exploration never share an axis."""

import io
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatch
from html import escape
from typing import Any

from rlsp_cli.report.step import Step, keys_of

Plots = Mapping[str, Sequence[str]]
"""Title -> the keys of its curves, with `*` as in file names."""

PPO_PLOTS: Plots = {
    "Correctness": ["correctness/mean"],
    "Correctness on held-out problems": ["heldout/correctness"],
    "Exploration": ["exploration/*/mean"],
    "Correlation of exploration with length and correctness": ["exploration/*/corr_*"],
    "Response length in tokens": ["response/tokens"],
    "Texts from elsewhere per response": ["turns/foreign"],
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
SFT_PLOTS: Plots = {
    "SFT loss per response token, labelled step or pair": ["loss"],
    "Labelled steps or pairs: accuracy; F1 of wrong steps": ["accuracy", "f1_wrong"],
    "Pairs: rewards of the better and the worse responses": ["reward_chosen", "reward_rejected"],
}

_SHARES = (
    "correctness/mean",
    "heldout/correctness",
    "response/truncated",
    "response/repetition",
    "response/answered",
    "accuracy",
    "f1_wrong",
    "reward/*",
    "*/greedy",
    "*/sampled",
)
"""Keys whose values are from 0 to 1."""

_STYLE = {
    "svg.hashsalt": "rlsp",  # so that the same curves are the same text
    "svg.fonttype": "path",  # so that the page needs no font
    "font.size": 9,
}
_SIZE = (4.6, 2.5)
"""Width and height in inches."""
_LEGEND_CHARACTERS = 48
"""Characters of a legend's line beside its marks."""
_SHARE_LIMITS = (-0.02, 1.02)
"""Limits of an axis of shares, with room for a curve that runs along 0 or 1."""


def plots(steps: Sequence[Step], wanted: Plots) -> list[str]:
    """One SVG for each title of which the steps have a key."""
    known = keys_of(steps)
    figures = []
    for title, patterns in wanted.items():
        keys = [key for key in known if _matches(key, patterns)]
        if keys:
            figures.append(_over_steps(steps, title, keys))
    return figures


def svg(draw: Callable[[Any], None], title: str, described: str, *, legend: bool) -> str:
    """A plot as one SVG element; `draw` gets matplotlib's axes, and `described` says it in words."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    with pyplot.rc_context(_STYLE):
        figure, axes = pyplot.subplots(figsize=_SIZE, layout="constrained")
        draw(axes)
        _draw_frame(axes, title)
        if legend:
            columns = _legend_columns(axes.get_legend_handles_labels()[1])
            figure.legend(frameon=False, loc="outside lower center", ncols=columns, fontsize=8)

        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
        pyplot.close(figure)

    # Without the XML head, which has no place inside of HTML; with words for who cannot see it.
    whole = text.getvalue()
    whole = whole[whole.index("<svg") :]
    return whole.replace("<svg", f'<svg role="img" aria-label="{escape(described)}"', 1)


def _legend_columns(labels: Sequence[str]) -> int:
    """As many of at most three as the width has room for."""
    return max(1, min(3, _LEGEND_CHARACTERS // max(map(len, labels))))


def _over_steps(steps: Sequence[Step], title: str, keys: Sequence[str]) -> str:
    def draw(axes: Any) -> None:
        for key in keys:
            _draw_curve(axes, steps, key)
        _draw_steps(axes, keys)

    # A single curve needs no legend where the title names it.
    legend = len(keys) > 1 or _label(keys[0]) not in title.lower()
    return svg(draw, title, _described(steps, title, keys), legend=legend)


def _draw_curve(axes: Any, steps: Sequence[Step], key: str) -> None:
    points = _points(steps, key)
    numbers, values = zip(*points, strict=True)

    # A line of one point would be invisible.
    mark = "o" if len(points) == 1 else None
    axes.plot(numbers, values, label=_label(key), linewidth=1.4, marker=mark)


def _draw_frame(axes: Any, title: str) -> None:
    axes.set_title(title, fontsize=10, loc="left")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_steps(axes: Any, keys: Sequence[str]) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel("step")
    axes.xaxis.set_major_locator(MaxNLocator(nbins="auto", steps=[1, 2, 5, 10], integer=True))
    if all(_matches(key, _SHARES) for key in keys):
        axes.set_ylim(*_SHARE_LIMITS)


def _points(steps: Sequence[Step], key: str) -> list[tuple[int, float]]:
    """(number, value) of the steps that have the key."""
    return [(step.number, step.values[key]) for step in steps if key in step.values]


def _described(steps: Sequence[Step], title: str, keys: Sequence[str]) -> str:
    """The plot in words: where each curve begins and ends."""
    curves = []
    for key in keys:
        values = [value for _, value in _points(steps, key)]
        curves.append(f"{_label(key)} from {values[0]:.3g} to {values[-1]:.3g}")
    return f"{title}: " + "; ".join(curves)


def _matches(key: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch(key, pattern) for pattern in patterns)


def _label(key: str) -> str:
    """The key without what the title says."""
    if fnmatch(key, "exploration/*/corr_*"):
        return key.removeprefix("exploration/").replace("/corr_", " and ")
    return key.removesuffix("/mean").rpartition("/")[2].replace("_", " ")
