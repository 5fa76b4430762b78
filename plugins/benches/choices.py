"""Multiple-choice questions: the choices below the question, a letter for the reference."""

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
    """Multiple-choice questions, from a column with a list of choices or a column for each.

    `options` names that column or those, `answer` the right one's letter or text. With a `seed` the
    choices are shuffled, in an order that follows from seed and question alone, and of choices with
    the same text each is right. Without one, the reference is the letter of the data.
    """
    columns = [row[column] for column in options]
    listed = list(columns[0]) if len(columns) == 1 else [str(text).strip() for text in columns]
    wanted = str(row[answer]).strip()
    letter = wanted if answer_is == "letter" else _LETTERS[listed.index(wanted)]

    # By the question, not by the row's number, which differs between versions of a data set.
    if seed is not None:
        right = listed[_LETTERS.index(letter)]
        random.Random(f"{seed}:{row[problem]}").shuffle(listed)
        letter = " or ".join(_LETTERS[place] for place, text in enumerate(listed) if text == right)
    shown = "\n".join(f"{name}. {text}" for name, text in zip(_LETTERS, listed, strict=False))
    shaped = {"problem": f"{str(row[problem]).strip()}\n\n{shown}", "answer": letter}
    if id in row:
        shaped["id"] = row[id]
    return shaped
