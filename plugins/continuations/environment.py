"""What an environment of the library `verifiers` says after the model's turn."""

from typing import Any

from rlsp_cli.rewards import Closing, Sample, continuation
from rlsp_cli.rewards.environment import environment_of


@continuation
def environment(
    sample: Sample, *, venv: str = "", load: str = "", arguments: dict[str, Any] | None = None
) -> str | None:
    """The environment's response to the model's turns, in a row of `task:environment`.

    The options are those of the task. The environment plays the response from its start each time,
    and one that does not say again what it said before is an error.
    """
    found = environment_of(venv, load, arguments)
    if not sample.metadata:
        return None  # a trial without a row, which has started the environment

    assert sample.turns is not None, "a continuation is asked about turns"
    split, index = sample.metadata["environment_row"]
    told, closing = found.follow(split, index, sample.turns.own)
    if told[: len(sample.turns.foreign)] != sample.turns.foreign:
        raise ValueError("the environment answers equal turns with other texts")

    if len(told) == len(sample.turns.own):
        return told[-1]
    return None if closing is None else Closing(closing)
