"""The turns of a conversation in a column, in either of the two usual spellings."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rlsp_cli.data.message import content_text, message_text, refuse_unread
from rlsp_cli.data.row import Row
from rlsp_cli.errors import DataError

_ROLES = {
    "system": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
}


class Turn(NamedTuple):
    """A message of a conversation; `role` is `system`, `user` or `assistant`."""

    role: str
    content: str


def turns_of(row: Row, column: str) -> tuple[Turn, ...]:
    """The conversation in a column of {role, content} or {from, value}; DataError when there is none.

    Thinking that stands apart from the content goes before it, between tags; text in an unknown
    field is an error.
    """
    value = row.columns.get(column)
    if not isinstance(value, Sequence) or not all(
        isinstance(message, Mapping) for message in value
    ):
        raise DataError(
            f"{row.place}: column {column!r} must hold a list of {{role, content}}; columns: {row.names}"
        )
    return tuple(_turn(message, row.place) for message in value)


def _turn(message: Mapping[str, Any], place: str) -> Turn:
    name = message.get("role") or message.get("from")
    role = _ROLES.get(str(name))
    try:
        text = message_text(message) if role == "assistant" else content_text(message)
        if role == "assistant":
            refuse_unread(message, text)
    except ValueError as error:
        raise DataError(f"{place}: a turn of role {name!r}: {error}") from error

    if role is None or not text.strip():
        raise DataError(
            f"{place}: a turn of role {name!r} without text, or a role other than {', '.join(_ROLES)}"
        )
    return Turn(role, text)
