"""Keep the best response to each prompt."""

from collections.abc import Sequence

from rlsp_cli.rewards import Sample, Signal, selector, signal_of


@selector
def bon(group: Sequence[Sample], *, by: Signal = "correctness") -> list[bool]:
    """Keep the best response, the first of equally good ones.

    PF-PPO's BoN filter. A prompt without a scored response is dropped.
    """
    scores = signal_of(group, by)
    best = max((score for score in scores if score is not None), default=None)
    if best is None:
        return [False] * len(group)

    chosen = scores.index(best)
    return [row == chosen for row in range(len(group))]
