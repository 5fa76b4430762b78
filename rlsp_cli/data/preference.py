"""Pairs of responses for preference training: of two responses to a prompt, one is better."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rlsp_cli.data.conversation import Turn, turns_of
from rlsp_cli.data.kept import kept
from rlsp_cli.data.row import Row
from rlsp_cli.data.source import source_rows
from rlsp_cli.data.trace import Trace, answer_of
from rlsp_cli.errors import DataError
from rlsp_cli.recipe.rows import PreferenceRows


@dataclass(frozen=True)
class Preference:
    """A prompt, and a better and a worse response to it, both whole.

    As in a `Trace`, `prompt` is the problem or the last user turn, and `turns` is the conversation
    before the responses, where the source has conversations. `answer` is the row's column of that
    name; `place` is for errors.
    """

    prompt: str
    chosen: str
    rejected: str
    turns: tuple[Turn, ...] = ()
    place: str = ""
    answer: str | None = None

    @property
    def problem(self) -> str:
        """The prompt, as in a `Problem`."""
        return self.prompt

    @property
    def traces(self) -> tuple[Trace, Trace]:
        """Both responses, the better one first."""
        better, worse = (
            Trace(self.prompt, response, self.turns, self.answer)
            for response in (self.chosen, self.rejected)
        )
        return better, worse


@kept
def preference_rows(rows: PreferenceRows, files: Sequence[str] = ()) -> Iterator[Preference]:
    """The pairs of a source; `files` are the recipe's plugin files.

    A response may be a text, or a conversation that ends with it; turns before it replace a prompt
    that is a text. DataError names a row that lacks something, or whose responses are equal or
    follow different turns.
    """
    for row in source_rows(rows, files):
        yield _preference(row, rows)


def _preference(row: Row, rows: PreferenceRows) -> Preference:
    chosen_after, chosen = _response(row, rows.chosen)
    rejected_after, rejected = _response(row, rows.rejected)
    if chosen_after != rejected_after:
        raise DataError(
            f"{row.place}: columns {rows.chosen!r} and {rows.rejected!r} answer different "
            "conversations; expected the same turns before the last"
        )
    if chosen == rejected:
        raise DataError(
            f"{row.place}: columns {rows.chosen!r} and {rows.rejected!r} are equal; "
            "leave the row out"
        )

    turns = _turns(row, rows.prompt, chosen_after)
    prompt = turns[-1].content if turns else row.text(rows.prompt)
    return Preference(prompt, chosen, rejected, turns, row.place, answer_of(row))


def _response(row: Row, column: str) -> tuple[tuple[Turn, ...], str]:
    """The turns before a response, and the response."""
    if not _holds_turns(row, column):
        return (), row.text(column)

    *before, last = turns_of(row, column)
    if last.role != "assistant":
        raise DataError(f"{row.place}: column {column!r} must end with an assistant's turn")
    return tuple(before), last.content


def _turns(row: Row, column: str, before: tuple[Turn, ...]) -> tuple[Turn, ...]:
    """The conversation before both responses; none if the prompt is a text."""
    prompt = turns_of(row, column) if _holds_turns(row, column) else ()
    # Some sources repeat the prompt before each response.
    turns = before if before[: len(prompt)] == prompt else (*prompt, *before)
    if turns and turns[-1].role != "user":
        raise DataError(f"{row.place}: the last turn before a response must be a user's")
    return turns


def _holds_turns(row: Row, column: str) -> bool:
    value = row.columns.get(column)
    return isinstance(value, Sequence) and not isinstance(value, str) and len(value) > 0
