"""A number of a recipe that changes over the rollout steps of PPO."""

import math
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Discriminator, Tag

from rlsp_cli.recipe.section import PositiveInt, Section

Value = TypeVar("Value")


class Schedule(Section):
    """A value that changes over the rollout steps of PPO."""

    start: float
    """Value at the first step."""
    end: float
    """Value at the last step."""
    shape: Literal["linear", "cosine"] = "linear"
    """Curve between the two."""
    steps: PositiveInt | None = None
    """Rollout steps until `end` is reached; by default all."""

    def at(self, step: int, total_steps: int) -> float:
        """The value at a step, counted from 0, of a training of `total_steps`."""
        # Step 0 has the start value and the last step the end value, so n steps are n - 1 apart.
        last = max((self.steps or total_steps) - 1, 1)
        progress = min(step / last, 1.0)
        if self.shape == "cosine":
            progress = (1 - math.cos(math.pi * progress)) / 2
        return self.start + (self.end - self.start) * progress


def value_at(value: Value | Schedule, step: int, total_steps: int) -> Value | float:
    """The value at a step, counted from 0: a schedule's, or the value itself."""
    return value.at(step, total_steps) if isinstance(value, Schedule) else value


def shares_at(weights: Sequence[float | Schedule], step: int, total_steps: int) -> list[float]:
    """The share of each source at a step, counted from 0; they sum to 1."""
    now = [value_at(weight, step, total_steps) for weight in weights]
    whole = sum(now)
    return [weight / whole for weight in now]


def _branch(value: Any) -> str:
    return "schedule" if isinstance(value, dict | Schedule) else "number"


def looks_scheduled(value: Any) -> bool:
    """Whether an option is a schedule; a mapping without these keys is an option of its own."""
    return isinstance(value, Schedule) or (isinstance(value, dict) and {"start", "end"} <= {*value})


# Pydantic tries every branch of a plain union, and would report the errors of all of them.
Scheduled = Annotated[
    Annotated[float, Tag("number")] | Annotated[Schedule, Tag("schedule")], Discriminator(_branch)
]
"""A number, or a schedule over rollout steps."""

OptionOrSchedule = Annotated[
    Annotated[Any, Tag("option")] | Annotated[Schedule, Tag("schedule")],
    Discriminator(lambda value: "schedule" if looks_scheduled(value) else "option"),
]
"""A plugin's option, or a schedule over rollout steps."""


def within(least: float, most: float = math.inf) -> Callable[[float | Schedule], float | Schedule]:
    """A validator that refuses values outside of these bounds, at the start and at the end."""

    def check(value: float | Schedule) -> float | Schedule:
        if isinstance(value, Schedule):
            ends = {"the schedule's start": value.start, "the schedule's end": value.end}
        else:
            ends = {"input": value}

        for name, number in ends.items():
            found = f", found {number:g}" if isinstance(value, Schedule) else ""
            if number < least:
                raise ValueError(f"{name} should be greater than or equal to {least:g}{found}")
            if number > most:
                raise ValueError(f"{name} should be less than or equal to {most:g}{found}")
        return value

    return check
