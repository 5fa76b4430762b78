"""Where responses come from: a model, or a file."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from rlsp_cli.data import jsonl_rows
from rlsp_cli.errors import DataError


@dataclass(frozen=True)
class Request:
    """A problem's id and its prompt as text."""

    id: str
    prompt: str


@dataclass(frozen=True)
class Response:
    """A response; `num_tokens` is None when nobody counted; `scores` are what best-of-n chooses by, by scorer."""

    text: str
    num_tokens: int | None = None
    truncated: bool = False
    scores: Mapping[str, float] = field(default_factory=dict)


class Sampler(Protocol):
    """Anything that answers requests."""

    def sample(
        self, requests: Sequence[Request], n: int, *, temperature: float, top_p: float, max_new_tokens: int, seed: int
    ) -> list[list[Response]]:
        """`n` responses to each request, in order; temperature 0 is greedy."""
        ...


class ReplaySampler:
    """Gives responses that were written elsewhere, by problem id.

    With `uneven` a problem with fewer responses than are asked for gives all that it has.
    """

    def __init__(self, responses: Mapping[str, Sequence[Response]], uneven: bool = False) -> None:
        self.responses, self.uneven = responses, uneven

    @classmethod
    def from_file(cls, path: Path, uneven: bool = False) -> "ReplaySampler":
        """Read JSON Lines rows with `id` and `response`; several rows of one id are several samples.

        A row may also have `num_tokens`, `truncated` and `scores`, a number for each scorer.
        """
        responses: dict[str, list[Response]] = {}
        if not path.is_file():
            raise DataError(f"{path}: no such file of responses")
        for place, row in jsonl_rows(path):
            if not {"id", "response"} <= row.keys():
                raise DataError(f"{place}: needs id and response; its keys: {', '.join(row)}")
            responses.setdefault(str(row["id"]), []).append(_response(place, row))
        return cls(responses, uneven)

    def most(self) -> int:
        """Responses to the problem that has the most of them."""
        return max(map(len, self.responses.values()), default=0)

    def refuse_fewer(self, ids: Iterable[str], n: int) -> None:
        """DataError when a problem has fewer than `n` responses."""
        for id in ids:
            found = len(self.responses.get(id, ()))
            if found < n:
                raise DataError(f"problem {id!r}: {found} responses given, {n} wanted")

    def sample(
        self, requests: Sequence[Request], n: int, *, temperature: float, top_p: float, max_new_tokens: int, seed: int
    ) -> list[list[Response]]:
        """The first `n` responses of each problem; DataError when there are fewer, or with `uneven` none."""
        self.refuse_fewer((request.id for request in requests), 1 if self.uneven else n)
        return [list(self.responses[request.id][:n]) for request in requests]


_KINDS: dict[str, tuple[type, str]] = {
    "response": (str, "text"),
    "num_tokens": (int, "a whole number"),
    "truncated": (bool, "true or false"),
    "scores": (dict, "a number for each scorer"),
}


def _response(place: str, row: dict[str, Any]) -> Response:
    given = {key: row[key] for key in _KINDS if key == "response" or row.get(key) is not None}
    for key, value in given.items():
        kind, words = _KINDS[key]
        if not isinstance(value, kind):
            raise DataError(f"{place}: {key} holds {type(value).__name__}, expected {words}")
    for scorer, score in given.get("scores", {}).items():
        if not isinstance(score, int | float) or not math.isfinite(score):
            raise DataError(f"{place}: the score {scorer} is {score!r}, expected a number")
    return Response(given["response"], given.get("num_tokens"), given.get("truncated", False), given.get("scores", {}))
