"""Streams of rewards for single tokens, beside the reward of the whole response."""

from pydantic import PositiveFloat

from rlsp_cli.recipe.section import LearningRate, Section


class Teacher(Section):
    """A model whose distribution the policy approaches on its own responses."""

    model: str
    """Name of one of `models`, with a `path` and with the policy's tokens."""
    coef: PositiveFloat = 1.0
    """Weight of the KL to the teacher in the per-token reward."""


class ImplicitPrm(Section):
    """A process reward model that learns from verdicts while the policy does (PRIME, 2502.01456)."""

    coef: PositiveFloat = 1.0
    """Weight of its rewards against that of the response."""
    beta: PositiveFloat = 0.05
    """Weight of a response's log-ratio in the probability that it is right."""
    learning_rate: LearningRate = 1.0e-6
    """Peak learning rate."""
