"""Ask the model to correct itself."""

from rlsp_cli.rewards import Sample, continuation

REQUEST = """\
Look at your solution again. If you find a mistake, correct it; if you find none, keep your answer. \
State your answer again at the end."""


@continuation
def self_correct(sample: Sample, *, request: str = REQUEST, rounds: int = 1) -> str | None:
    """The same `request` after each of so many turns, and nothing about what is wrong.

    Self-correction without feedback, as the paper of SCL (2410.04055) samples it; the words are
    ours.
    """
    assert sample.turns is not None, "a continuation is asked about turns"
    return request if len(sample.turns.foreign) < rounds else None
