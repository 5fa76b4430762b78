"""Test-time strategies, and the keys of those that have some."""

from typing import Literal

from rlsp_cli.recipe.section import Fraction, PositiveInt, Section


class Forcing(Section):
    """Budget forcing (arXiv 2501.19393): a response that ends early continues after " Wait"."""

    waits: PositiveInt = 2
    """Most continuations of one response."""
    min_tokens: PositiveInt | None = None
    """Continue only responses with fewer tokens; by default all."""


class Split(Section):
    """The strategy `confidence_split`: accept what a few responses agree on, ask the rest again."""

    votes: PositiveInt = 4
    """Responses to each problem in the first round."""
    accept_above: Fraction = 0.5
    """Accept an answer if a larger share of the first round gives it; ask for all others again."""


StrategyName = Literal[
    "self_consistency",
    "best_of_n",
    "weighted_vote",
    "rpc",
    "confidence_split",
    "budget_forcing",
    "search",
]
