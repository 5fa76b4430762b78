"""The keys of `rounds`: repeated self-training, each round on solutions of the last one's model."""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, PositiveFloat, create_model, model_validator

from rlsp_cli.recipe.search import TreeSearch
from rlsp_cli.recipe.section import LearningRate, PositiveInt, Section
from rlsp_cli.recipe.selector_use import SelectorUse

Start = Literal["base", "previous"]

if TYPE_CHECKING:
    _StartingFrom = Section
else:
    # `from` is a word of Python, so no class can have it as a field in its text.
    _StartingFrom = create_model(
        "_StartingFrom",
        __base__=Section,
        **{
            "from": (
                Start,
                Field(
                    "base",
                    description="What SFT starts from: `base`, the recipe's model, each time anew, "
                    "or the model of the `previous` round.",
                ),
            )
        },
    )


class Tune(Section):
    """Choose sampling settings before each round, by the balance score (B-STaR, 2412.17256)."""

    temperature: Annotated[tuple[PositiveFloat, ...], Field(min_length=1)] = (0.6, 0.8, 1.0)
    """Temperatures to try; each costs a sampling of `problems`."""
    samples: tuple[PositiveInt, ...] = ()
    """Numbers of solutions to try; only `rounds.samples` by default."""
    threshold: tuple[float, ...] = ()
    """Thresholds on the mixed reward to try; only `rounds.threshold` by default."""
    target: PositiveInt = 8
    """Different right solutions of a problem that are enough, n* of the score."""
    problems: PositiveInt = 64
    """How many of the problems, the first ones, are sampled to choose."""


class RoundScorer(Section):
    """A process reward model for the search of the next round; its other keys are those of `sft`."""

    epochs: PositiveFloat = 1.0
    """Passes over the step values of the round's trees."""
    learning_rate: LearningRate = 2.0e-5
    """Peak learning rate."""


class Rounds(_StartingFrom):
    """Repeat: sample solutions, keep the right ones, train on them, evaluate."""

    count: PositiveInt
    """Rounds after round 0, which is the recipe without `rounds`."""
    stop: Literal["heldout"] | None = "heldout"
    """`heldout`: end after a round that is worse on `data.heldout` than the best before it."""

    # What is sampled.
    problems: PositiveInt | None = None
    """Solve only the first N problems of `data.prompts`; all by default."""
    samples: PositiveInt = 8
    """Solutions for each problem of `data.prompts`."""
    temperature: PositiveFloat = 1.0
    """Sampling temperature."""
    max_new_tokens: PositiveInt = 4096
    """Longest solution in tokens; longer ones are left out."""
    rationalize: bool = False
    """Ask again with the answer as a hint where no solution is right (STaR, 2203.14465)."""
    teacher: str | None = None
    """Name in `models` of one that sees a wrong solution and the answer, and corrects it
    (2310.13332), where no solution is right."""

    search: TreeSearch | None = None
    """Search for solutions instead, one tree for each problem, and train on what is written of the
    trees; `samples` has no effect then (docs/search.md)."""

    scorer: RoundScorer | None = None
    """Train a process reward model on the step values of each round's trees, from the model that
    grew them; the search of the next round has it as its scorer (2405.03553)."""

    # What is kept.
    threshold: float | None = None
    """Least mixed reward (docs/rewards.md) of a right solution to train on; by default any."""
    select: SelectorUse | None = None
    """Selector among the solutions of each problem; of what it keeps, the right ones are kept."""
    tune: Tune | None = None
    """Choose temperature, samples and threshold anew before each round."""

    @model_validator(mode="after")
    def _search_has_no_other_solutions(self) -> "Rounds":
        if self.search is None:
            if self.scorer:
                raise ValueError("scorer learns from the trees of a search; give rounds.search")
            return self
        if self.tune or self.teacher or self.threshold is not None:
            raise ValueError(
                "tune, teacher and threshold are for sampled solutions; leave them out with search"
            )
        return self

    @property
    def start(self) -> Start:
        """The key `from`."""
        found: Start = getattr(self, "from")
        return found
