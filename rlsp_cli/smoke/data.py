"""The few rows of a smoke test: the recipe's first ones, or made ones where those are on the hub."""

import random
from pathlib import Path
from typing import Any

from rlsp_cli.preflight import data_on_hub
from rlsp_cli.recipe.rows import Prompts
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.runs.stream import write_rows
from rlsp_cli.smoke.standin import StandIn

ROWS = 64
"""Rows of each source that trains: two rollouts of few, and enough to find wrong answers among."""
HELDOUT_ROWS = 4


def few_rows(recipe: Recipe, folder: Path) -> tuple[dict[str, Any], list[StandIn]]:
    """The section `data` of a smoke test, and what stands in for rows that are not here.

    Without held-out problems the first ones to train on are evaluated.
    """
    data, found = recipe.data.model_dump(mode="json"), []
    for role in ("traces", "prompts", "heldout"):
        for number, source in enumerate(_sources(data[role])):
            why = data_on_hub(source["source"]) if source["source"].startswith("hf:") else None
            if why is not None:
                file = folder / f"{role}-{number}.jsonl"
                found.append(StandIn(f"data.{role}", "sums that rlsp made", why))
                _stand_in(source, role, file)
            source["rows"] = min(source["rows"] or ROWS, ROWS)

    if data["heldout"] is None:
        data["heldout"] = _heldout(data, folder)
    data["heldout"]["rows"] = HELDOUT_ROWS
    for role in ("steps", "pairs"):
        if data[role]:
            data[role]["rows"] = min(data[role]["rows"] or ROWS, ROWS)
    return {**data, "allow_overlap": True}, found


def _sources(given: Any) -> list[dict[str, Any]]:
    """The sources of a role, which is one, a list, or none."""
    return given if isinstance(given, list) else [given] if given else []


def _heldout(data: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Problems to evaluate: the first to train on, or made ones."""
    prompts = _sources(data["prompts"])
    if prompts:
        return {key: prompts[0][key] for key in Prompts.model_fields}
    heldout: dict[str, Any] = {"problem": "problem", "answer": "answer", "id": "id"}
    _stand_in(heldout, "heldout", folder / "heldout.jsonl")
    return heldout


def _stand_in(source: dict[str, Any], role: str, file: Path) -> None:
    """Make a source read made rows, with the columns that the recipe names."""
    write_rows(file, [_row(source, role, number) for number in range(ROWS)])
    source.update(source=str(file), config=None, split="train", row=None, options={}, rows=ROWS)


def _row(source: dict[str, Any], role: str, number: int) -> dict[str, Any]:
    numbers = random.Random(number)
    a, b = numbers.randint(2, 40), numbers.randint(2, 40)
    problem, answer = f"What is {a} + {b}?", str(a + b)
    if role != "traces":
        columns = {source["problem"]: problem, source["id"]: f"{role}-{number}"}
        return columns if source["answer"] == "none" else {**columns, source["answer"]: answer}

    solution = f"{a} + {b} = {answer}, so \\boxed{{{answer}}}"
    if source["messages"]:
        turns = [("user", problem), ("assistant", solution)]
        return {source["messages"]: [{"role": who, "content": text} for who, text in turns]}
    return {source["prompt"]: problem, source["response"]: solution}
