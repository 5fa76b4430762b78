"""The section `steps`: how a response is split, and what becomes of the scores of its steps."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from rlsp_cli.recipe.section import Fraction, PositiveInt, Section


class Refinement(Section):
    """One change of step scores; exactly one key."""

    clip: Fraction | None = None
    """Each score becomes min(score - clip, 0): a good step earns nothing, a bad one costs."""
    delta: Literal[True] | None = None
    """Each score minus that of the next step that has one; the last keeps its own."""
    span: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] | None = None
    """Sizes of the windows that end at a step and are scored as one; a step gets their mean."""
    math_only: Literal[True] | None = None
    """Score the formulas of the steps alone, without the words around them."""


_CLIP = 0.5
"""What the word `clip` means without a number."""


def _as_mapping(value: Any) -> Any:
    # `delta` for `{delta: true}`.
    if isinstance(value, str):
        return {value: _CLIP if value == "clip" else True}
    return value


class StepSettings(Section):
    """How a response is split into steps, and how their scores become one."""

    by: Literal["lines", "blank_line", "numbered", "tag", "sentences"] = "lines"
    """What ends a step; `numbered` is `1.` or `Step 1:` at the beginning of a line."""
    tag: str = "step"
    """Name of the tags around a step, for `by: tag`."""
    refine: tuple[Annotated[Refinement, BeforeValidator(_as_mapping)], ...] = ()
    """Changes of the scores, the first one first: `clip`, `delta`, `{span: [1, 2]}`, `math_only`."""
    aggregate: Literal["min", "product", "last", "mean", "sum", "max", "geometric_mean"] = "min"
    """The response's one score, from those of its steps; with `dense` it is their sum."""


class Steps(StepSettings):
    """How a response is split into steps, and what becomes of their scores."""

    dense: bool = False
    """Pay each step at its last token, in PPO. `refine` is then `[clip, delta]` if not given."""

    @model_validator(mode="before")
    @classmethod
    def _guarded_if_dense(cls, data: Any) -> Any:
        # Without a guard a response earns more with each step that it repeats (arXiv 2410.15115).
        if isinstance(data, dict) and data.get("dense") is True:
            return {"refine": ["clip", "delta"], "aggregate": "sum", **data}
        return data

    @model_validator(mode="after")
    def _dense_steps_add_up(self) -> "Steps":
        if self.dense and self.aggregate != "sum":
            raise ValueError(
                f"aggregate is {self.aggregate}, and with dense a response earns the sum of its"
                " steps; leave aggregate out"
            )
        return self
