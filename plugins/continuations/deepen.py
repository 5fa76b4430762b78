"""Let the model think again until it has used a budget that grows."""

from rlsp_cli.rewards import Sample, continuation

TRIGGER = "Wait. Maybe there is a mistake in this. Check it from the start, and answer again."


@continuation
def deepen(
    sample: Sample,
    *,
    trigger: str = TRIGGER,
    budget: int = 512,
    growth: float = 2.0,
    rounds: int = 3,
) -> str | None:
    """The `trigger` after a turn by which the model has written less than its budget of tokens.

    The budget of the whole response is `budget` in the first turn, and `growth` times as large in
    each later one; after so many `rounds`, or with its budget used, a response ends. After
    ID-Sampling (2502.05449), which also interrupts a turn that goes beyond its budget; a turn here
    ends where the model ends it. The words are ours.
    """
    assert sample.turns is not None, "a continuation is asked about turns"
    said = len(sample.turns.foreign)
    wanted = budget * growth**said
    return trigger if said < rounds and sample.length() < wanted else None
