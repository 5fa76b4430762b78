"""`--fail-below`: the least accuracy that an evaluation must reach, for CI."""

import math
from collections.abc import Mapping, Sequence

from rlsp_cli.errors import CheckError, UsageError
from rlsp_cli.evals.statistics import Estimate


def read_limits(texts: Sequence[str], benches: Sequence[str]) -> dict[str, float]:
    """Bench -> least accuracy, from `aime24=0.7`, or `0.7` if there is one bench."""
    limits = {}
    for text in texts:
        bench, _, number = text.rpartition("=")
        if not bench and len(benches) > 1:
            raise UsageError(
                f"--fail-below {text}: which of {', '.join(benches)}? write {benches[0]}={text}"
            )

        bench = bench or benches[0]
        if bench not in benches:
            raise UsageError(
                f"--fail-below {text}: {bench} is not evaluated; expected {', '.join(benches)}"
            )
        limits[bench] = _share(text, number)
    return limits


def refuse_below(accuracies: Mapping[str, Estimate | None], limits: Mapping[str, float]) -> None:
    """CheckError with value and interval if an accuracy is below its limit, or None.

    None means that nothing was scored.
    """
    low = []
    for bench, limit in limits.items():
        accuracy = accuracies[bench]

        # The value counts, not the interval: a limit is a promise about this bench.
        if accuracy is None and limit > 0:
            low.append(
                f"{bench}: no response could be scored, and accuracy must be at least {limit:g}"
            )
        elif accuracy and accuracy.value < limit:
            interval = f"95%: {accuracy.low:.4f} to {accuracy.high:.4f}"
            low.append(f"{bench}: accuracy {accuracy.value:.4f} ({interval}) is below {limit:g}")

    if low:
        raise CheckError("; ".join(low))


def _share(text: str, number: str) -> float:
    try:
        share = float(number)
    except ValueError:
        share = math.nan

    # Written so that nan fails too: it compares false with everything.
    if not 0 <= share <= 1:
        raise UsageError(
            f"--fail-below {text}: {number!r} is no accuracy; "
            "expected a number from 0 to 1, such as 0.7"
        )
    return share
