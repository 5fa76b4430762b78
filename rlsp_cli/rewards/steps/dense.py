"""Dense rewards: what a response's steps earn where they end, in PPO."""

from typing import NamedTuple

from rlsp_cli.recipe.reward import Reward
from rlsp_cli.rewards.sample import SampleScore


class PaidStep(NamedTuple):
    """The end of a step, in characters of the response, and its value times the reward's weight."""

    end: int
    value: float


def paid_steps(score: SampleScore, reward: Reward) -> list[PaidStep]:
    """The steps that `steps.dense` pays for a response, by their ends; a step without a score is none.

    Their sum is a part of the response's weighted exploration. An unscored response has none.
    """
    if score.reward is None:
        return []

    paid = []
    for use, part in zip(reward.exploration, score.exploration, strict=True):
        if use.steps and use.steps.dense:
            for step in part.steps or ():
                if step.value is not None:
                    paid.append(PaidStep(step.end, use.weight * step.value))
    return sorted(paid)
