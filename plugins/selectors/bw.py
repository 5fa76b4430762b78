"""Keep the best and the worst response to each prompt."""

from collections.abc import Sequence

from rlsp_cli.rewards import Sample, Signal, selector, signal_of


@selector
def bw(group: Sequence[Sample], *, by: Signal = "correctness") -> list[bool]:
    """Keep the best and the worst response: the first of the best ones, the last of the worst.

    PF-PPO's BW filter. A prompt without a scored response is dropped.
    """
    scores = signal_of(group, by)
    known = [row for row, score in enumerate(scores) if score is not None]
    if not known:
        return [False] * len(group)

    # Sorting is stable: from best to worst, equal scores stay in the order of rows.
    ranked = sorted(known, key=lambda row: -(scores[row] or 0.0))
    chosen = {ranked[0], ranked[-1]}
    return [row in chosen for row in range(len(group))]
