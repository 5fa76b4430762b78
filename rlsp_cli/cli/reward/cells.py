"""Numbers in the tables of `rlsp reward`."""

from typing import Any


def from_one(step: int | None) -> int | None:
    """A step for people, who count from 1; in files they are counted from 0."""
    return None if step is None else step + 1


def number(value: Any) -> Any:
    """With three decimals, unless it is an integer or no number."""
    return f"{value:.3f}" if isinstance(value, float) else value
