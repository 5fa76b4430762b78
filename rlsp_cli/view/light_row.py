"""What a list of responses shows and filters by, without the texts."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from pydantic import Field

from rlsp_cli.runs.shapes import ComponentScore, Number, Shape, Text, TurnsRow

_ANSWER = 60
"""Characters of an answer that a list shows."""


class LightRow(NamedTuple):
    """A row of rollouts.jsonl or samples.jsonl.

    `nth` numbers the responses of a kind to a problem. `outcome` is that of the first component
    without a value, else "value".
    """

    step: int | None
    id: str
    kind: str
    nth: int
    value: float | None
    outcome: str
    truncated: bool
    reward: float | None
    tokens: int | None
    answer: str


class ResponseLine(Shape):
    """A row of either stream, as far as the page relies on it."""

    response: Text
    correctness: ComponentScore
    exploration: list[ComponentScore] = Field(default=[])
    id: Text = ""
    kind: Text = ""
    index: int = 0
    step: int | None = None
    truncated: bool = False
    reward: Number | None = None
    num_tokens: int | None = None
    turns: TurnsRow | None = None


def parsed_line(line: bytes) -> Mapping[str, Any]:
    """The row of a line; ValueError if it is damaged. NaN, which is no JSON, is read as null."""
    try:
        row: Mapping[str, Any] = json.loads(line, parse_constant=lambda _: None)
    except RecursionError as error:
        raise ValueError("nested too deep") from error

    ResponseLine.model_validate(row)
    return row


def light_row(row: Mapping[str, Any]) -> LightRow:
    """The light row of a row that `parsed_line` has checked."""
    correctness = row["correctness"]
    outcomes = [part["outcome"] for part in (correctness, *row.get("exploration", ()))]
    return LightRow(
        step=row.get("step"),
        id=row.get("id", ""),
        kind=row.get("kind", ""),
        nth=row.get("index", 0),
        value=correctness["value"],
        outcome=next((outcome for outcome in outcomes if outcome != "value"), "value"),
        truncated=row.get("truncated", False),
        reward=row.get("reward"),
        tokens=row.get("num_tokens"),
        answer=(correctness.get("answer") or "")[:_ANSWER],
    )
