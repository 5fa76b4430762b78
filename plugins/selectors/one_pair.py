"""Keep one right and one wrong response to each prompt."""

from collections.abc import Sequence

from rlsp_cli.rewards import Sample, is_right, selector, signal_of


@selector
def one_pair(group: Sequence[Sample]) -> list[bool]:
    """Keep the first right and the first wrong response; drop prompts that lack one of them.

    After OREAL, which samples 16 responses and drops pass rates of 0 and 1. An unscored response is
    neither right nor wrong.
    """
    scores = signal_of(group, "correctness")
    verdicts = [None if score is None else is_right(score) for score in scores]
    if True not in verdicts or False not in verdicts:
        return [False] * len(group)

    chosen = {verdicts.index(True), verdicts.index(False)}
    return [row in chosen for row in range(len(group))]
