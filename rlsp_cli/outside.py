"""JSON, text and numbers from models, servers, plugins and files: valid, or refused here."""

import json
import math
import re
from collections.abc import Mapping
from typing import Any

_MOST_LEVELS = 100
"""Lists and objects in each other: more than in any real document, few enough to recurse."""
_MOST_COUNT = 2**53
"""From here on, floats skip integers."""
_SURROGATE = re.compile("[\ud800-\udfff]")


def valid_text(text: str) -> str:
    r"""A text with U+FFFD for lone surrogates such as `"\ud83d"`, which UTF-8 cannot encode."""
    try:
        # To encode is far faster than to search, and almost no text has any.
        text.encode()
        return text
    except UnicodeEncodeError:
        return _SURROGATE.sub("\ufffd", text)


def read_json(text: str | bytes) -> Any:
    """Parse JSON, and make its texts valid; JSONDecodeError also for deep nesting.

    NaN and infinities are read, as Python and pandas write them; `number_of` refuses them.
    """
    return _read(text)


def strict_json(text: str) -> Any:
    """Parse JSON that a model wrote: refuses NaN, numbers like 1e999 and repeated keys."""
    return _read(
        text,
        parse_constant=_refuse,
        parse_float=_finite,
        parse_int=_whole,
        object_pairs_hook=_unique,
    )


def count_of(value: Any) -> int | None:
    """A whole number from 0 to 2**53, also written as 12.0; None for anything else."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    is_count = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST_COUNT
    return value if is_count else None


def number_of(value: Any) -> float | None:
    """A finite number as a float; None for text, truth values, NaN and numbers that overflow."""
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
    except ValueError as error:
        # No UTF-8, or a number of thousands of digits.
        raise json.JSONDecodeError(str(error), "", 0) from error


def _valid(value: Any, levels: int) -> Any:
    """The value with valid texts; RecursionError for more nested levels."""
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
        raise ValueError(f"{number} is out of range")
    return value


def _whole(number: str) -> int:
    # Python's int has no limit, but a library that computes with it as a float would fail.
    _finite(number)
    return int(number)


def _unique(pairs: list[tuple[str, Any]]) -> Mapping[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is repeated")
    return found
