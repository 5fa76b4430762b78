"""What the sum of step values invites: how large it can get, and how much of it comes from repetition."""

from collections.abc import Iterator, Sequence

from rlsp_cli.recipe.steps import Refinement
from rlsp_cli.rewards.sample import StepScore

_PUNCTUATION = " .,;:!?"
"""What a policy varies first, where only exact copies count as repeated."""


def largest_return(refine: Sequence[Refinement], steps: int) -> float:
    """The largest sum of values that `steps` steps could have, whatever scores in [0, 1] they get.

    It grows with the steps unless a refinement bounds it: `clip` leaves no value above 0, and after
    `delta` the sum is the first step's value.
    """
    least, most, largest = 0.0, 1.0, float(steps)
    for one in refine:
        if one.clip is not None:
            least, most = min(least - one.clip, 0.0), min(most - one.clip, 0.0)
            largest = most * steps
        elif one.delta:
            largest = most
            least, most = min(least - most, least), max(most - least, most)
    return largest


def is_bounded(refine: Sequence[Refinement]) -> bool:
    """Whether a response cannot earn more and more by further steps."""
    return largest_return(refine, 2) <= largest_return(refine, 1)


def share_of_repeats(responses: Sequence[tuple[str, Sequence[StepScore]]]) -> float | None:
    """What steps earn that repeat an earlier one of their response, over the size of all values.

    1 when nothing else earns, below 0 when repeated steps cost; None when no step has a value.
    Letters' case, white space and punctuation at the ends make no difference.
    """
    pairs = [pair for response, steps in responses for pair in _repeats(response, steps)]
    size = sum(abs(value) for value, _ in pairs)
    if not size:
        return None
    return sum(value for value, is_repeat in pairs if is_repeat) / size


def _repeats(response: str, steps: Sequence[StepScore]) -> Iterator[tuple[float, bool]]:
    """The value of each step that has one, and whether it repeats an earlier step."""
    seen = set()
    for step in steps:
        text = " ".join(response[step.start : step.end].lower().split()).strip(_PUNCTUATION)
        if step.value is not None:
            yield step.value, text in seen
        seen.add(text)
