"""A sweep: values of decoding settings, of which an evaluation takes every combination."""

from collections.abc import Mapping
from itertools import product
from typing import Annotated

from pydantic import Field, PositiveFloat, model_validator

from rlsp_cli.recipe.section import PositiveInt, Section

Setting = Mapping[str, float]
"""Keys of `eval` and their values, one combination of a sweep."""


class Sweep(Section):
    """Values of keys of `eval`; every combination is evaluated, with all strategies."""

    temperature: tuple[PositiveFloat, ...] = ()
    """Sampling temperatures."""
    top_p: tuple[Annotated[float, Field(gt=0, le=1)], ...] = ()
    """Shares of nucleus sampling."""
    max_new_tokens: tuple[PositiveInt, ...] = ()
    """Longest responses in tokens."""

    @model_validator(mode="after")
    def _no_value_twice(self) -> "Sweep":
        for key, values in self:
            if len(set(values)) < len(values):
                raise ValueError(f"{key} has a value twice: {', '.join(map(str, values))}")
        return self

    @property
    def settings(self) -> list[Setting]:
        """Every combination, the last key changing first; one without keys if nothing is swept."""
        swept = {key: values for key, values in self if values}
        return [dict(zip(swept, values, strict=True)) for values in product(*swept.values())]


def under_setting(model: str, setting: Setting) -> str:
    """A model's name in results under a setting: `base@temperature=0.6,top_p=0.9`."""
    values = ",".join(f"{key}={value}" for key, value in setting.items())
    return f"{model}@{values}" if values else model
