"""One response of a model to a problem of a bench, before and after it has been scored."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from rlsp_cli.data import Problem
from rlsp_cli.rewards.answers import stated_confidence
from rlsp_cli.rewards.sample import Sample, Score, is_right
from rlsp_cli.rewards.turns import Turns
from rlsp_cli.runs import shapes
from rlsp_cli.runs.stream import read_rows

GREEDY, SAMPLE, FORCED, SEARCH = "greedy", "sample", "forced", "search"
"""Kinds of responses: by greedy decoding, sampled, greedy with budget forcing, and by search."""

LOGPROB, CONFIDENCE = "logprob", "confidence"
"""Scores of any response: the sum of its tokens' log-probabilities, its stated confidence."""

Key = tuple[str, str, int]
"""Problem id, kind, and number of the response among those of its kind."""


@dataclass(frozen=True)
class Answer:
    """A row of waiting.jsonl: a response that is still to be scored.

    `num_tokens` is None if it is not known. `scores` are what the sampler knows of the response, by
    name. `parent` is the id of the row that several problems were made of, else empty.
    `other_tokens` are what other models read and wrote for it. `turns` has what came from elsewhere
    between the words of the response, None where nothing could.
    """

    id: str
    kind: str
    index: int = 0
    response: str = ""
    problem: str = ""
    reference: str = ""
    num_tokens: int | None = None
    truncated: bool = False
    scores: Mapping[str, float] = field(default_factory=dict)
    parent: str = ""
    other_tokens: int = 0
    turns: Turns | None = None

    @property
    def key(self) -> Key:
        """What sets a response apart from the others to the same bench."""
        return self.id, self.kind, self.index

    def sample(self, problem: Problem, prompt: str, reference: str | None = None) -> Sample:
        """What a verifier sees; `reference` takes the place of the problem's."""
        return Sample(
            prompt=prompt,
            response=self.response,
            reference=problem.answer if reference is None else reference,
            id=problem.id,
            metadata=problem.metadata,
            num_tokens=self.num_tokens,
            truncated=self.truncated,
            turns=self.turns,
        )

    def to_json(self) -> dict[str, Any]:
        """The row; without `scores`, `parent`, `other_tokens` and `turns` if there are none."""
        row = {name: getattr(self, name) for name in _FIELDS}
        row["turns"] = self.turns and asdict(self.turns)
        for name in ("scores", "parent", "other_tokens", "turns"):
            if not row[name]:
                del row[name]
        return row

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "Answer":
        """From a row, which may hold more than this."""
        return cls(**_known(row))


_FIELDS = tuple(Answer.__dataclass_fields__)


@dataclass(frozen=True, kw_only=True)
class Scored(Answer):
    """A row of samples.jsonl: a response and what the verifier said of it."""

    correctness: Score

    @property
    def value(self) -> float | None:
        """The verifier's value from 0 to 1, None if it gave none."""
        return self.correctness.value

    @property
    def right(self) -> bool:
        """Whether it counts as correct where yes or no is needed."""
        return is_right(self.value)

    @property
    def extracted(self) -> str | None:
        """The answer that the verifier found in the response."""
        return self.correctness.answer

    @property
    def likelihood(self) -> float | None:
        """Geometric mean of the tokens' probabilities, 1 / perplexity.

        None without `num_tokens` or `logprob`.
        """
        total = self.scores.get(LOGPROB)
        # The sum alone would rank short responses first, whatever they say.
        return math.exp(total / self.num_tokens) if total is not None and self.num_tokens else None

    def score(self, scorer: str | None) -> float | None:
        """The number to rank by; None if the response has none.

        `logprob` stands for the likelihood and `confidence` for what the response states; any other
        name is looked up in its `scores`.
        """
        if scorer == LOGPROB:
            return self.likelihood
        if scorer == CONFIDENCE:
            return stated_confidence(self.response)
        return self.scores.get(scorer or "")

    def to_json(self) -> dict[str, Any]:
        """The row."""
        return {**super().to_json(), "correctness": self.correctness.to_row()}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "Scored":
        """From a row, which may hold more than this."""
        return cls(**_known(row), correctness=Score.from_row(row["correctness"]))

    @classmethod
    def of(cls, answer: Answer, score: Score) -> "Scored":
        """The answer with its score."""
        return cls(**{name: getattr(answer, name) for name in _FIELDS}, correctness=score)


def clusters_of(rows: Iterable[Answer]) -> dict[str, str]:
    """The parent of each problem that was made of a row together with others."""
    return {row.id: row.parent for row in rows if row.parent}


def read_waiting(path: Path) -> Iterator[Answer]:
    """The rows of waiting.jsonl; DataError names a damaged line."""
    return map(Answer.from_json, read_rows(path, shapes.AnswerRow))


def read_scored(path: Path, shape: type[BaseModel] = shapes.ScoredRow) -> Iterator[Scored]:
    """The rows of a samples.jsonl; DataError names a line that does not have the `shape`."""
    return map(Scored.from_json, read_rows(path, shape))


def _known(row: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of an `Answer` that a row has; null means the same as a key that is missing."""
    known = {name: row[name] for name in _FIELDS if row.get(name) is not None}
    scores = known.get("scores", {})
    if "turns" in known:
        known["turns"] = Turns.from_json(known["turns"])
    known["scores"] = {scorer: score for scorer, score in scores.items() if score is not None}
    return known
