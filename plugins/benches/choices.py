"""Questions with choices: the choices stand below the question, the reference is a letter."""

import random
from typing import Any, Literal

from rlsp_cli.rewards import row_shape

_LETTERS = "ABCDEFGHIJ"


@row_shape
def choices(
    row: dict[str, Any],
    *,
    problem: str = "question",
    options: tuple[str, ...] = ("options",),
    answer: str = "answer",
    answer_is: Literal["letter", "text"] = "letter",
    id: str = "question_id",
    seed: int | None = None,
) -> dict[str, Any]:
    """`options` names the column of a list, or a column for each choice; `answer` the right one's.

    With a `seed` the choices are shuffled, in an order that follows from seed and question alone.
    """
    columns = [row[column] for column in options]
    listed = list(columns[0]) if len(columns) == 1 else [str(text).strip() for text in columns]
    wanted = str(row[answer]).strip()
    right = listed[_LETTERS.index(wanted)] if answer_is == "letter" else wanted
    if seed is not None:
        random.Random(f"{seed}:{row[problem]}").shuffle(listed)
    shown = "\n".join(f"{letter}. {text}" for letter, text in zip(_LETTERS, listed, strict=False))
    shaped = {"problem": f"{str(row[problem]).strip()}\n\n{shown}", "answer": _LETTERS[listed.index(right)]}
    return {**shaped, **({"id": row[id]} if id in row else {})}
