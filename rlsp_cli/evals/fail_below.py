"""The least accuracy that an evaluation must reach, for CI."""

from collections.abc import Mapping, Sequence
from typing import Any

from rlsp_cli.errors import CheckError, UsageError


def read_limits(texts: Sequence[str], benches: Sequence[str]) -> dict[str, float]:
    """Bench -> least accuracy, from `aime24=0.7`, or from `0.7` where there is one bench; UsageError else."""
    limits = {}
    for text in texts:
        bench, _, number = text.rpartition("=")
        if not bench and len(benches) > 1:
            raise UsageError(f"--fail-below {text}: which of {', '.join(benches)}? write {benches[0]}={text}")
        bench = bench or benches[0]
        if bench not in benches:
            raise UsageError(f"--fail-below {text}: {bench} is not evaluated; expected one of {', '.join(benches)}")
        limits[bench] = _share(text, number)
    return limits


def refuse_below(cards: Mapping[str, Mapping[str, Any]], limits: Mapping[str, float]) -> None:
    """CheckError with value and interval when a score card's `avg` is below its limit, or nothing was scored."""
    low = [_words(bench, cards[bench], limit) for bench, limit in limits.items() if (cards[bench]["avg"] or 0) < limit]
    if low:
        raise CheckError("; ".join(low))


def _share(text: str, number: str) -> float:
    try:
        share = float(number)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise UsageError(f"--fail-below {text}: {number!r} is no accuracy; expected a number from 0 to 1, such as 0.7")
    return share


def _words(bench: str, card: Mapping[str, Any], limit: float) -> str:
    if card["avg"] is None:
        return f"{bench}: no response could be scored, and accuracy must be at least {limit:g}"
    low, high = card["avg_ci"]
    return f"{bench}: accuracy {card['avg']:.4f} (95%: {low:.4f} to {high:.4f}) is below {limit:g}"
