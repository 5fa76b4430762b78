"""What the readers of a run's files rely on. Files may hold more; it is kept as it is."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PlainValidator


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("expected text")
    return value


Number = Annotated[float, Field(allow_inf_nan=False)]
Text = Annotated[str, PlainValidator(_text)]
"""A string; pydantic's own takes no lone surrogates, which models write now and then."""


class Shape(BaseModel):
    """Strict: text that looks like a number is not a number."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)


class Status(Shape):
    """status.json; a stage's state is one of running, done, stopped, failed."""

    state: Text
    stages: dict[str, Text]
    stage: Text | None = None
    exit_code: int | None = None
    message: Text | None = None


class Manifest(Shape):
    """manifest.json."""

    created: Text
    recipe_digest: Text
    seed: int
    versions: dict[str, str]
    plugins: list[dict[str, Any]]
    data: list[dict[str, Any]]
    changes: list[dict[str, Any]] = []


class ResultsDocument(Shape):
    """results.json; `rlsp_cli.evals.results` reads its data."""

    data: dict[str, Any]


class MetricsRow(Shape):
    """A row of metrics.jsonl; everything else in it is a number."""

    __pydantic_extra__: dict[str, Number]
    step: int
    text: Text | None = None


class ComponentScore(Shape):
    """The score of a response by one component."""

    outcome: Text
    value: Number | None
    answer: Text | None = None


class JudgedRow(Shape):
    """A row of any samples.jsonl, as far as a comparison needs it."""

    id: Text
    kind: Text
    correctness: ComponentScore
    parent: Text | None = None


class TurnRow(Shape):
    """A turn of a response."""

    by: Text
    text: Text


class TurnsRow(Shape):
    """The turns of a response."""

    said: list[TurnRow]
    foreign_tokens: int
    outcome: Text
    reason: Text | None = None
    other_tokens: int = 0


class AnswerRow(Shape):
    """A row of waiting.jsonl."""

    id: Text
    kind: Text
    index: int
    response: Text
    num_tokens: int | None
    truncated: bool
    scores: dict[str, Number | None] | None = None
    parent: Text | None = None
    other_tokens: int = 0
    turns: TurnsRow | None = None


class ScoredRow(AnswerRow):
    """A row of samples.jsonl."""

    correctness: ComponentScore


class ResponseRow(Shape):
    """A row of any stream with responses, as far as counting their behaviours needs it."""

    response: Text
    id: Text = ""
    kind: Text = ""
    step: int | None = None
    num_tokens: int | None = None
    correctness: ComponentScore | None = None


class RolloutRow(ResponseRow):
    """A row of rollouts.jsonl."""

    correctness: ComponentScore
    reward: Number | None
