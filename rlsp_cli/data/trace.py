"""Traces for SFT, from rows or from conversations."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rlsp_cli.data.conversation import Turn, turns_of
from rlsp_cli.data.kept import kept
from rlsp_cli.data.row import Row
from rlsp_cli.data.source import source_rows
from rlsp_cli.errors import DataError
from rlsp_cli.recipe.rows import Traces


@dataclass(frozen=True)
class Trace:
    """A prompt and the response to imitate.

    `turns` is the conversation before the response, where the source has conversations. `answer`
    is the row's column of that name; None in a conversation of several answers.
    """

    prompt: str
    response: str
    turns: tuple[Turn, ...] = ()
    answer: str | None = None

    @property
    def problem(self) -> str:
        """The prompt, as in a `Problem`."""
        return self.prompt


@kept
def trace_rows(traces: Traces, files: Sequence[str] = ()) -> Iterator[Trace]:
    """The traces of a source; `files` are the recipe's plugin files, for procedural tasks.

    DataError names a row that lacks something, and its columns.
    """
    for row in source_rows(traces, files):
        if traces.messages is not None:
            yield from _of_conversation(row, traces.messages)
        else:
            prompt, response = row.text(traces.prompt), row.response(traces.response)
            yield Trace(prompt, response, answer=answer_of(row))


def training_rows(rows: int, val_rows: int, what: str = "traces") -> tuple[range, range]:
    """Numbers of the rows for (training, validation): validation is the last `val_rows`.

    DataError if they are all; it calls the rows `what`.
    """
    if val_rows >= rows:
        raise DataError(f"sft.val_rows is {val_rows}, and there are {rows} {what}; keep fewer out")

    split = rows - val_rows
    return range(split), range(split, rows)


def _of_conversation(row: Row, column: str) -> Iterator[Trace]:
    """A trace for each assistant turn, with all turns before it: what the model sees then."""
    turns = turns_of(row, column)
    answers = [number for number, turn in enumerate(turns) if turn.role == "assistant"]
    if not answers or answers[0] == 0:
        raise DataError(
            f"{row.place}: column {column!r} needs a user's turn and an assistant's after it"
        )

    # The column says how the conversation ends, which is not how its earlier answers do.
    answer = answer_of(row) if len(answers) == 1 else None
    for n in answers:
        yield Trace(
            prompt=turns[n - 1].content, response=turns[n].content, turns=turns[:n], answer=answer
        )


def answer_of(row: Row) -> str | None:
    """The column `answer` as text; None without one."""
    # Only to compare texts with benches, so a missing or odd answer is no error.
    answer = row.columns.get("answer")
    return str(answer) if isinstance(answer, str | int | float) and str(answer).strip() else None
