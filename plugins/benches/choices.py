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

    With a `seed` the choices are shuffled, in an order that follows from seed and question alone;
    of choices with the same text each is then right. Without one the data's own letter is the
    reference.
    """
    columns = [row[column] for column in options]
    listed = list(columns[0]) if len(columns) == 1 else [str(text).strip() for text in columns]
    wanted = str(row[answer]).strip()
    letter = wanted if answer_is == "letter" else _LETTERS[listed.index(wanted)]
    if seed is not None:
        right = listed[_LETTERS.index(letter)]
        random.Random(f"{seed}:{row[problem]}").shuffle(listed)
        letter = " or ".join(_LETTERS[place] for place, text in enumerate(listed) if text == right)
    shown = "\n".join(f"{name}. {text}" for name, text in zip(_LETTERS, listed, strict=False))
    shaped = {"problem": f"{str(row[problem]).strip()}\n\n{shown}", "answer": letter}
    return {**shaped, **({"id": row[id]} if id in row else {})}
