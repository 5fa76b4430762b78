"""A search over partial responses: its policy, its steps, its scorer and its budget."""

from typing import Any, Literal

from pydantic import ConfigDict, PositiveFloat, model_validator

from rlsp_cli.recipe.section import Plain, PositiveInt
from rlsp_cli.recipe.steps import StepSettings


class SearchSteps(StepSettings):
    """How a response is split into the steps of a search, and how their scores become one."""

    by: Literal["lines", "blank_line", "tag", "sentences"] = "lines"
    """What ends a step: the model stops there, and is asked for the next one."""
    aggregate: Literal["min", "product", "last", "mean", "sum", "max", "geometric_mean"] = "last"
    """The score of a partial response, from those of its steps."""

    @property
    def ends(self) -> tuple[str, ...]:
        """The texts at which a model stops; `sentences` stops within a number such as 3.5 too."""
        ends = {
            "lines": ("\n",),
            "blank_line": ("\n\n",),
            "tag": (f"</{self.tag}>",),
            "sentences": (".", "!", "?", ";", "\n"),
        }
        return ends[self.by]


class StepScorerUse(Plain):
    """A step scorer, with its options beside `use`."""

    model_config = ConfigDict(extra="allow")

    use: str
    """Name of a built-in or installed step scorer, or `./file.py:function`."""
    timeout_s: PositiveFloat | None = None
    """Its deadline in seconds for one call; `reward.timeout_s` by default."""

    @property
    def options(self) -> dict[str, Any]:
        """The scorer's own options: every key that is not the recipe's."""
        return dict(self.__pydantic_extra__ or {})


class SearchUse(Plain):
    """A search policy, with its options beside `use`."""

    model_config = ConfigDict(extra="allow")

    use: str = "beam"
    """Name of a built-in or installed policy, or `./file.py:function`."""
    steps: SearchSteps = SearchSteps()
    """What a step is."""
    scorer: StepScorerUse | None = None
    """Step scorer of the partial responses; it never sees the reference."""
    backup: Literal["mean", "max", "weighted"] = "mean"
    """What a node's value is, of the scores below it; `weighted` weighs children by visits."""
    choose: Literal["best", "weighted_vote"] = "best"
    """The answer: the whole response with the highest score, or the most votes by their scores."""
    budget: PositiveInt = 4096
    """Tokens of one problem, of all models together, after which no further round begins."""
    step_tokens: PositiveInt = 256
    """Longest step in tokens; a longer one is cut, and goes on as another step."""

    @property
    def options(self) -> dict[str, Any]:
        """The policy's own options: every key that is not the recipe's."""
        return dict(self.__pydantic_extra__ or {})


class TreeSearch(SearchUse):
    """A search whose trees become training data, and what is written of each tree.

    Without a scorer the search is guided by the verifier's verdicts on whole responses.
    """

    write: Literal["paths", "linear", "pairs", "values"] = "paths"
    """Right responses, chains with wrong branches and returns, pairs of siblings, or step values."""
    branches: PositiveInt = 2
    """Most wrong branches in a chain, for `write: linear`."""
    returns: str | None = None
    """File with words of going back, a phrase a line, for `write: linear`; rlsp's by default."""

    @model_validator(mode="after")
    def _writes_all_answers(self) -> "TreeSearch":
        if self.choose != "best":
            raise ValueError("choose is for one answer, and here all are written; leave it out")
        return self
