"""A row of a source: its columns, and its place for errors."""

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rlsp_cli.data.message import message_text
from rlsp_cli.errors import DataError
from rlsp_cli.outside import valid_text

_THOUGHT = "reasoning_content"
"""The one column beside a response that is thinking; `reasoning` and others may be anything."""


@dataclass(frozen=True)
class Row:
    """The columns of a row, and its place: `file:line`, `task:name split:index` or the like.

    `parent` is the id of the row that a row function made this one of, together with others; empty
    for a row of its own.
    """

    place: str
    columns: Mapping[str, Any]
    parent: str = ""

    @property
    def names(self) -> str:
        """The names of the columns, for a message."""
        return ", ".join(map(str, self.columns))

    def text(self, column: str) -> str:
        """The text of a column; DataError if it is missing, empty, or no text and no number."""
        if column not in self.columns:
            raise DataError(f"{self.place}: no column {column!r}; its columns: {self.names}")

        # A number is text to a model: `answer` is 42 in many data sets.
        value = self.columns[column]
        if value is None or (isinstance(value, str) and not value.strip()):
            raise DataError(f"{self.place}: column {column!r} is empty")
        if not isinstance(value, str | int | float):
            kind = type(value).__name__
            raise DataError(
                f"{self.place}: column {column!r} holds {kind}, expected text or a number"
            )
        if isinstance(value, float) and not math.isfinite(value):
            raise DataError(
                f"{self.place}: column {column!r} holds {value}, expected a number or text"
            )
        return valid_text(str(value))

    def response(self, column: str) -> str:
        """The text of a response, behind the thinking in `reasoning_content` if there is any."""
        thought, answer = self.columns.get(_THOUGHT), self.columns.get(column)
        has_thought = column != _THOUGHT and isinstance(thought, str | Sequence | Mapping)
        if column not in self.columns or not has_thought:
            return self.text(column)

        content = str(answer) if isinstance(answer, int | float) else answer
        try:
            text = message_text({"content": content, _THOUGHT: thought})
        except ValueError as error:
            raise DataError(
                f"{self.place}: columns {column!r} and {_THOUGHT!r}: {error}"
            ) from error
        return text or self.text(column)

    def plain(self, without: Collection[str] = ()) -> dict[str, Any]:
        """The columns except `without`, as JSON has them: plugins run in other processes.

        Arrays become lists, NaN becomes null, and everything else, such as a date, becomes text.
        """
        kept = {name: value for name, value in self.columns.items() if name not in without}
        text = json.dumps(kept, default=_as_json)
        data: dict[str, Any] = json.loads(text, parse_constant=_constant)
        return data


def _as_json(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else str(value)


def _constant(name: str) -> str | None:
    # pandas and others write NaN for a missing value; infinities keep their names.
    return None if name == "NaN" else name
