"""Pairs for preference training, as their sources spell them."""

import json
from pathlib import Path
from typing import Any

import pytest

from rlsp_cli.data import Preference, Turn, preference_rows
from rlsp_cli.errors import DataError
from rlsp_cli.recipe.rows import PreferenceRows

ASKED = {"role": "user", "content": "2+2?"}
RIGHT = {"role": "assistant", "content": "4"}
WRONG = {"role": "assistant", "content": "5"}
TURNS = (Turn("user", "2+2?"),)


def read(folder: Path, row: dict[str, Any]) -> Preference:
    path = folder / "pairs.jsonl"
    path.write_text(json.dumps(row) + "\n")
    (found,) = preference_rows(PreferenceRows(source=str(path)))
    return found


def test_a_pair_of_texts_has_a_problem_as_its_prompt(tmp_path: Path) -> None:
    found = read(tmp_path, {"prompt": "2+2?", "chosen": "4", "rejected": "5"})

    assert (found.prompt, found.chosen, found.rejected) == ("2+2?", "4", "5")
    assert found.turns == ()


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": [ASKED], "chosen": [RIGHT], "rejected": [WRONG]},
        {"prompt": "2+2?", "chosen": [ASKED, RIGHT], "rejected": [ASKED, WRONG]},
        {"chosen": [ASKED, RIGHT], "rejected": [ASKED, WRONG]},
        {"prompt": [ASKED], "chosen": [ASKED, RIGHT], "rejected": [ASKED, WRONG]},
        {"prompt": [ASKED], "chosen": "4", "rejected": "5"},
    ],
    ids=["trl", "ultrafeedback", "no prompt", "prompt repeated", "text after turns"],
)
def test_every_spelling_of_a_conversation_is_the_same_pair(
    tmp_path: Path, row: dict[str, Any]
) -> None:
    found = read(tmp_path, row)

    assert found.turns == TURNS
    assert (found.prompt, found.chosen, found.rejected) == ("2+2?", "4", "5")


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"prompt": "2+2?", "chosen": "4"}, "no column 'rejected'"),
        ({"chosen": "4", "rejected": "5"}, "no column 'prompt'"),
        ({"prompt": "2+2?", "chosen": "4", "rejected": "4"}, "are equal; leave the row out"),
        ({"prompt": "?", "chosen": [RIGHT, ASKED], "rejected": [WRONG]}, "assistant's turn"),
        ({"prompt": "?", "chosen": [ASKED, RIGHT], "rejected": [WRONG]}, "the same turns"),
        ({"prompt": [RIGHT], "chosen": "4", "rejected": "5"}, "must be a user's"),
        ({"prompt": "2+2?", "chosen": [], "rejected": "5"}, "expected text or a number"),
    ],
)
def test_a_row_that_is_no_pair_is_named(tmp_path: Path, row: dict[str, Any], told: str) -> None:
    with pytest.raises(DataError, match=told) as refused:
        read(tmp_path, row)

    assert "pairs.jsonl:1" in str(refused.value)
