"""What the readers of a run's files rely on. Files may hold more; it is kept as it is."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PlainValidator


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("expected text")
    return value


Number = Annotated[float, Field(allow_inf_nan=False)]
Text = Annotated[str, PlainValidator(_text)]
"""Also with half a character in it, as models write them, which pydantic takes for no text."""


class Shape(BaseModel):
    """Strict: text that looks like a number is none."""

    model_config = ConfigDict(strict=True, extra="allow")


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


class Results(Shape):
    """results.json; `rlsp_cli.evals.results` reads what is in it."""

    data: dict[str, Any]


class Metrics(Shape):
    """A row of metrics.jsonl; all else in it is a number."""

    __pydantic_extra__: dict[str, Number]
    step: int
    text: Text | None = None


class Verdict(Shape):
    """What a component gave."""

    outcome: Text
    value: Number | None
    answer: Text | None = None


class Judged(Shape):
    """A row of any samples.jsonl, as far as a comparison needs it."""

    id: Text
    kind: Text
    correctness: Verdict


class Answer(Shape):
    """A row of waiting.jsonl."""

    id: Text
    kind: Text
    index: int
    response: Text
    num_tokens: int | None
    truncated: bool
    scores: dict[str, Number | None] | None = None


class Scored(Answer):
    """A row of samples.jsonl."""

    correctness: Verdict


class Said(Shape):
    """A response of any stream, as far as its behaviours are told from it."""

    response: Text
    id: Text = ""
    kind: Text = ""
    step: int | None = None
    num_tokens: int | None = None
    correctness: Verdict | None = None


class Rollout(Said):
    """A row of rollouts.jsonl."""

    correctness: Verdict
    reward: Number | None
