"""Alarms: shapes in a run's metrics that came before a collapse while the reward still rose."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]

_LONGER = 1.1
"""Growth of the length that counts, as a factor."""
_FALL = 0.05
"""Fall of a rate that counts."""
_KL_FACTOR, _KL_NATS = 4, 5
"""Growth of the KL that counts: both as a factor and in nats a response."""
_MORE_REPETITION = 0.1
_FLAT = 1e-6
"""Standard deviation of a step's rewards below which they are equal."""
_MOST_FLAT = 0.9
"""Share of groups without spread above which there is little to learn from."""
_INVERTED = 0.05
"""Share of pairs with the wrong answer on top that counts."""

_FROM_REPEATS = 0.25
"""Share of what steps earn that repeated ones earn, above which it is no accident."""

_WINDOW = 5
"""Steps over which a mean is taken."""
_LOOKBACK = 20
"""Steps back to the window to compare with; the run's first window is compared as well."""


@dataclass(frozen=True)
class Alarm:
    """A shape that first shows at `step`, an index; `text` counts steps from 1."""

    kind: str
    step: int
    text: str


def alarms(rows: Sequence[Row]) -> list[Alarm]:
    """The alarms of a run's PPO metrics, each kind once, at the first step that shows it."""
    found: dict[str, Alarm] = {}
    for end in range(2 * _WINDOW, len(rows) + 1):
        recent = rows[end - _WINDOW : end]
        step = recent[-1]["step"]

        # The beginning of the run shows a slow drift, a window shortly before a jump.
        for start in {0, max(0, end - _WINDOW - _LOOKBACK)}:
            before = rows[start : start + _WINDOW]
            for kind, look in _SHAPES.items():
                text = look(before, recent)
                if text and kind not in found:
                    found[kind] = Alarm(kind, step, f"look here, step {step + 1}: {text}")

    return list(found.values())


def _length_without_gain(before: Sequence[Row], now: Sequence[Row]) -> str | None:
    """Length that grows is no success by itself: rlsp's own reproduction collapsed this way."""
    tokens = _change(before, now, "response/tokens")
    if tokens is None or tokens[1] < _LONGER * tokens[0]:
        return None

    for key, words in (("response/answered", "answer rate"), ("correctness/mean", "accuracy")):
        change = _change(before, now, key)
        if change and change[1] < change[0] - _FALL:
            lengths, values = "{:.0f} -> {:.0f}".format(*tokens), "{:.2f} -> {:.2f}".format(*change)
            return f"responses grew longer ({lengths} tokens) while the {words} fell ({values})"
    return None


def _kl_jump(before: Sequence[Row], now: Sequence[Row]) -> str | None:
    change = _change(before, now, "kl/response")
    if change is None:
        return None

    # At the beginning the KL is near 0, where four times as much is still nothing.
    if change[1] < _KL_FACTOR * change[0] or change[1] < change[0] + _KL_NATS:
        return None
    return "the KL to the reference jumped ({:.1f} -> {:.1f} nats a response)".format(*change)


def _no_variance(_before: Sequence[Row], now: Sequence[Row]) -> str | None:
    if all(row.get("reward/std", 1.0) < _FLAT for row in now):
        return "all rewards of a step are equal: there is nothing to learn from"
    if all(row.get("reward/flat_groups", 0.0) > _MOST_FLAT for row in now):
        return "nine of ten groups have equal rewards: there is little to learn from"
    return None


def _repetition(before: Sequence[Row], now: Sequence[Row]) -> str | None:
    change = _change(before, now, "response/repetition")
    if change is None or change[1] < change[0] + _MORE_REPETITION:
        return None
    return "repetition rose ({:.2f} -> {:.2f} of 4-grams)".format(*change)


def _wrong_over_right(_before: Sequence[Row], now: Sequence[Row]) -> str | None:
    rates = [row["reward/wrong_over_right"] for row in now if "reward/wrong_over_right" in row]
    if not rates or statistics.fmean(rates) < _INVERTED:
        return None
    return (
        f"wrong answers outrank right ones in {statistics.fmean(rates):.0%} of pairs:"
        " exploration outweighs correctness"
    )


def _repeated_steps(before: Sequence[Row], now: Sequence[Row]) -> str | None:
    """Steps that are paid again whenever they are said again are the known way to farm them."""
    for key in sorted({key for row in now for key in row if key.endswith("/from_repeats")}):
        shares = [row[key] for row in now if key in row]
        share, reward = statistics.fmean(shares), key.removesuffix("/from_repeats")
        if share > _FROM_REPEATS or _grows_with_repetition(before, now, reward):
            name = reward.removeprefix("exploration/")
            return f"{share:.0%} of what {name} pays is for steps that repeat an earlier one"
    return None


def _grows_with_repetition(before: Sequence[Row], now: Sequence[Row], reward: str) -> bool:
    share = _change(before, now, f"{reward}/from_repeats")
    paid = _change(before, now, f"{reward}/mean")
    return bool(share and paid and share[1] > share[0] + _MORE_REPETITION and paid[1] > paid[0])


_SHAPES: dict[str, Callable[[Sequence[Row], Sequence[Row]], str | None]] = {
    "length_without_gain": _length_without_gain,
    "kl_jump": _kl_jump,
    "no_variance": _no_variance,
    "repetition": _repetition,
    "wrong_over_right": _wrong_over_right,
    "repeated_steps": _repeated_steps,
}


def _change(before: Sequence[Row], now: Sequence[Row], key: str) -> tuple[float, float] | None:
    """Means of a metric in both windows; None if one of them lacks it."""
    then = [row[key] for row in before if key in row]
    lately = [row[key] for row in now if key in row]
    return (statistics.fmean(then), statistics.fmean(lately)) if then and lately else None
