"""Options of plugins that name models."""

from typing import Annotated

from pydantic import BaseModel


class _NamesModel:
    """Marks the options that name models."""


ModelName = Annotated[str, _NamesModel()]
"""The type of an option that names one of a recipe's `models`; an empty name is none."""


def model_options(options: type[BaseModel]) -> list[str]:
    """Which of a plugin's options name models."""
    return [
        name
        for name, field in options.model_fields.items()
        if any(isinstance(mark, _NamesModel) for mark in field.metadata)
    ]
