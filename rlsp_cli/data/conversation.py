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
    """The conversation in a column of {role, content} or {from, value}.

    Thinking in a field of its own goes before the content, between tags. DataError for a column
    without a conversation, and for text in an unknown field.
    """
    value = row.columns.get(column)
    if not isinstance(value, Sequence) or not all(isinstance(part, Mapping) for part in value):
        raise DataError(
            f"{row.place}: column {column!r} must hold a list of {{role, content}}; "
            f"columns: {row.names}"
        )

    return tuple(_turn(message, row.place) for message in value)


def _turn(message: Mapping[str, Any], place: str) -> Turn:
    name = message.get("role") or message.get("from")
    role = _ROLES.get(str(name))

    # Only an assistant thinks; a user's text is taken as it is, tags and all.
    try:
        if role == "assistant":
            text = message_text(message)
            refuse_unread(message, text)
        else:
            text = content_text(message)
    except ValueError as error:
        raise DataError(f"{place}: a turn of role {name!r}: {error}") from error

    if role is None or not text.strip():
        known = ", ".join(_ROLES)
        raise DataError(
            f"{place}: a turn of role {name!r} without text, or a role other than {known}"
        )
    return Turn(role, text)
