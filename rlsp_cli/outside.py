"""JSON, text and numbers that others wrote: models, servers, plugins and files. None of them raises further in."""

import json
import math
import re
from collections.abc import Mapping
from typing import Any

_MOST_LEVELS = 100
"""Lists and objects within each other: more than any real document has, and few enough to walk through recursively."""
_SURROGATE = re.compile("[\ud800-\udfff]")


def valid_text(text: str) -> str:
    r"""A text with U+FFFD for lone surrogates, halves of a character such as `"\ud83d"`, which no file can hold."""
    return _SURROGATE.sub("\ufffd", text)


def read_json(text: str | bytes) -> Any:
    """What JSON says, its texts valid; JSONDecodeError for whatever cannot be read, deep nesting too.

    NaN and infinities are read, as Python and pandas write them: who takes a number asks whether it
        is one.
    """
    return _read(text)


def strict_json(text: str) -> Any:
    """As `read_json`, for what a model wrote to be judged: NaN, a number like 1e999 or a key given twice is refused."""
    return _read(
        text,
        parse_constant=_refuse,
        parse_float=_finite,
        parse_int=_whole,
        object_pairs_hook=_unique,
    )


def count_of(value: Any) -> int | None:
    """A whole number from 0 that a float can hold too, 12.0 also; None for anything else, which counts nothing."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    is_count = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53
    return value if is_count else None


def number_of(value: Any) -> float | None:
    """A finite number; None for anything else, which is none: text, a truth value, NaN, an integer beyond a float."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _read(text: str | bytes, **hooks: Any) -> Any:
    try:
        return _valid(json.loads(text, **hooks), _MOST_LEVELS)
    except json.JSONDecodeError:
        raise
    except RecursionError as error:
        raise json.JSONDecodeError(f"nested in more than {_MOST_LEVELS} levels", "", 0) from error
    except ValueError as error:  # no UTF-8, or a number of thousands of digits
        raise json.JSONDecodeError(str(error), "", 0) from error


def _valid(value: Any, levels: int) -> Any:
    """The value with valid texts; RecursionError below so many levels."""
    if isinstance(value, str):
        return valid_text(value)
    if not isinstance(value, list | dict):
        return value
    if levels == 0:
        raise RecursionError
    if isinstance(value, list):
        return [_valid(item, levels - 1) for item in value]
    return {valid_text(key): _valid(item, levels - 1) for key, item in value.items()}


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def _finite(number: str) -> float:
    value = float(number)
    if not math.isfinite(value):
        raise ValueError(f"{number} is more than a number can be")
    return value


def _whole(number: str) -> int:
    _finite(number)  # a library that divides by it would fail
    return int(number)


def _unique(pairs: list[tuple[str, Any]]) -> Mapping[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands there twice")
    return found
