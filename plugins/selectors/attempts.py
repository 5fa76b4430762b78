"""Keep prompts that take many attempts."""

from collections.abc import Sequence

from rlsp_cli.rewards import Sample, is_right, selector, signal_of


@selector
def attempts(group: Sequence[Sample], *, more_than: int = 5, unsolved: bool = True) -> list[bool]:
    """Keep prompts whose first right response comes after more than `more_than` attempts.

    Prompts without a right response are kept if `unsolved`. A stand-in for the search iterations
    of ThinkLite-VL, whose threshold of 5 in 50 was not checked against its code: sample more
    responses than `more_than`. Unscored responses count as no attempt, and are dropped.
    """
    scores = signal_of(group, "correctness")
    right = [is_right(score) for score in scores if score is not None]

    takes_many = unsolved and bool(right)
    if True in right:
        takes_many = right.index(True) + 1 > more_than
    return [takes_many and score is not None for score in scores]
