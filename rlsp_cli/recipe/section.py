"""What all sections of a recipe share: they are frozen, and their numbers have bounds."""

from typing import Annotated, Any, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

Fraction = Annotated[float, Field(ge=0, le=1)]
BelowOne = Annotated[float, Field(ge=0, lt=1)]
NonNegativeFloat = Annotated[float, Field(ge=0)]
MOST = 10**9
"""Largest count in a recipe; more is a typing error."""
PositiveInt = Annotated[int, Field(gt=0, le=MOST)]
NonNegativeInt = Annotated[int, Field(ge=0, le=MOST)]
LearningRate = Annotated[float, Field(gt=0, le=1)]


def _mentions(annotation: Any, *types: type) -> bool:
    return annotation in types or any(_mentions(part, *types) for part in get_args(annotation))


class Plain(BaseModel):
    """A frozen model that takes neither `true` nor infinity for a number."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_switch_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        # Python's bool is an int, so pydantic would read `epochs: true` as 1.
        wanted = cls.model_fields[info.field_name or ""].annotation
        parts = value if isinstance(value, list | tuple) else [value]
        if not any(isinstance(part, bool) for part in parts) or _mentions(wanted, bool):
            return value
        if _mentions(wanted, int, float):
            raise ValueError("input should be a number, not true or false")
        return value


class Section(Plain):
    """A section of a recipe: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid")
