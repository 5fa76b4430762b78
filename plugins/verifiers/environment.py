"""The reward of an environment of the library `verifiers`."""

from typing import Any

from rlsp_cli.rewards import Sample, verifier
from rlsp_cli.rewards.environment import environment_of


@verifier
def environment(
    sample: Sample,
    *,
    venv: str = "",
    load: str = "",
    arguments: dict[str, Any] | None = None,
    lowest: float = 0.0,
    highest: float = 1.0,
) -> float | None:
    """The reward of the environment's rubric, in a row of `task:environment`, from 0 to 1.

    The first options are those of the task. `lowest` and `highest` are the reward that counts 0 and
    the one that counts 1. A reward beyond them is an error, and so is a reward function that raises,
    for which `verifiers` itself counts 0.
    """
    found = environment_of(venv, load, arguments)
    if not sample.metadata:
        return None  # a trial without a row, which has started the environment

    split, index = sample.metadata["environment_row"]
    turns = sample.turns.own if sample.turns else [sample.response]
    reward = found.reward(split, index, turns)
    if not lowest <= reward <= highest:
        raise ValueError(f"the reward is {reward}, expected {lowest} to {highest}; set both")
    return (reward - lowest) / (highest - lowest)
