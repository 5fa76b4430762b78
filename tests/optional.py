"""What is there, where a type says that it may be absent."""

from typing import TypeVar

T = TypeVar("T")


def present(value: T | None) -> T:
    """The value; a test that gets None has failed."""
    assert value is not None
    return value
