"""A selector that a recipe names."""

from typing import Any

from pydantic import ConfigDict, Field, PositiveFloat

from rlsp_cli.recipe.schedule import OptionOrSchedule, Schedule, value_at
from rlsp_cli.recipe.section import Plain


class SelectorUse(Plain):
    """A selector, with its options beside `use`; an option may be a schedule over rollout steps."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, OptionOrSchedule] = Field(init=False)

    use: str
    """Name of a built-in or installed selector, or `./file.py:function`."""
    timeout_s: PositiveFloat | None = None
    """Its deadline in seconds for the responses to one prompt; `reward.timeout_s` by default."""

    @property
    def options(self) -> dict[str, Any]:
        """The selector's own options, schedules among them: every key that is not the recipe's."""
        return dict(self.__pydantic_extra__ or {})

    @property
    def has_schedules(self) -> bool:
        """Whether an option changes over rollout steps."""
        return any(isinstance(value, Schedule) for value in self.options.values())

    def options_at(self, step: int, total_steps: int) -> dict[str, Any]:
        """The options at a rollout step, counted from 0."""
        return {key: value_at(value, step, total_steps) for key, value in self.options.items()}
