"""Where to look: shapes in a run's metrics that came before collapses, whatever the rewards themselves say."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]

_WINDOW = 5
"""Steps whose mean is compared."""
_LOOKBACK = 20
"""Steps back to the window that it is compared with; the run's first window when there are fewer."""


@dataclass(frozen=True)
class Alarm:
    """A shape that was first seen at `step`, an index; `text`, which counts from 1, asks to look at something."""

    kind: str
    step: int
    text: str


def alarms(rows: Sequence[Row]) -> list[Alarm]:
    """The alarms of a run's PPO metrics, each kind once, at the first step that shows it."""
    found: dict[str, Alarm] = {}
    for end in range(2 * _WINDOW, len(rows) + 1):
        recent = rows[end - _WINDOW : end]
        for start in {0, max(0, end - _WINDOW - _LOOKBACK)}:
            for kind, look in _SHAPES.items():
                text = look(rows[start : start + _WINDOW], recent)
                if text and kind not in found:
                    found[kind] = Alarm(
                        kind,
                        recent[-1]["step"],
                        f"look here, step {recent[-1]['step'] + 1}: {text}",
                    )
    return list(found.values())


def _length_without_gain(before: Sequence[Row], now: Sequence[Row]) -> str | None:
    """Growing length must never count as success by itself (rlsp's small-scale reproduction collapsed this way)."""
    tokens = _change(before, now, "response/tokens")
    if tokens is None or tokens[1] < 1.1 * tokens[0]:
        return None
    for key, words in (("response/answered", "answer rate"), ("correctness/mean", "accuracy")):
        change = _change(before, now, key)
        if change and change[1] < change[0] - 0.05:
            lengths, values = "{:.0f} -> {:.0f}".format(*tokens), "{:.2f} -> {:.2f}".format(*change)
            return f"responses grew longer ({lengths} tokens) while the {words} fell ({values})"
    return None


def _kl_jump(before: Sequence[Row], now: Sequence[Row]) -> str | None:
    change = _change(before, now, "kl/response")
    if change is None or change[1] < 4 * change[0] or change[1] < change[0] + 5:
        return None
    return "the KL to the reference jumped ({:.1f} -> {:.1f} nats a response)".format(*change)


def _no_variance(_before: Sequence[Row], now: Sequence[Row]) -> str | None:
    if all(row.get("reward/std", 1.0) < 1e-6 for row in now):
        return "all rewards of a step are equal: there is nothing to learn from"
    if all(row.get("reward/flat_groups", 0.0) > 0.9 for row in now):
        return "nine of ten groups have equal rewards: there is little to learn from"
    return None


def _repetition(before: Sequence[Row], now: Sequence[Row]) -> str | None:
    change = _change(before, now, "response/repetition")
    if change is None or change[1] < change[0] + 0.1:
        return None
    return "repetition rose ({:.2f} -> {:.2f} of 4-grams)".format(*change)


def _wrong_over_right(_before: Sequence[Row], now: Sequence[Row]) -> str | None:
    rates = [row["reward/wrong_over_right"] for row in now if "reward/wrong_over_right" in row]
    if not rates or statistics.fmean(rates) < 0.05:
        return None
    return (
        f"wrong answers outrank right ones in {statistics.fmean(rates):.0%} of pairs:"
        " exploration outweighs correctness"
    )


_SHAPES: dict[str, Callable[[Sequence[Row], Sequence[Row]], str | None]] = {
    "length_without_gain": _length_without_gain,
    "kl_jump": _kl_jump,
    "no_variance": _no_variance,
    "repetition": _repetition,
    "wrong_over_right": _wrong_over_right,
}


def _change(before: Sequence[Row], now: Sequence[Row], key: str) -> tuple[float, float] | None:
    """Means of a metric in both windows; None when one of them lacks it."""
    means = [[row[key] for row in rows if key in row] for rows in (before, now)]
    return (statistics.fmean(means[0]), statistics.fmean(means[1])) if all(means) else None
