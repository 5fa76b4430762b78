"""Where responses come from: a model, or a file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from rlsp_cli.data import jsonl_rows
from rlsp_cli.errors import DataError


@dataclass(frozen=True)
class Request:
    """A problem's id and its prompt as text."""

    id: str
    prompt: str


@dataclass(frozen=True)
class Response:
    """A response; `num_tokens` is None when nobody counted."""

    text: str
    num_tokens: int | None
    truncated: bool


class Sampler(Protocol):
    """Anything that answers requests."""

    def sample(
        self, requests: Sequence[Request], n: int, *, temperature: float, top_p: float, max_new_tokens: int, seed: int
    ) -> list[list[Response]]:
        """`n` responses to each request, in order; temperature 0 is greedy."""
        ...


class ReplaySampler:
    """Gives responses that were written elsewhere, by problem id."""

    def __init__(self, responses: Mapping[str, Sequence[str]]) -> None:
        self.responses = responses

    @classmethod
    def from_file(cls, path: Path) -> "ReplaySampler":
        """Read JSON Lines rows with `id` and `response`; several rows of one id are several samples."""
        responses: dict[str, list[str]] = {}
        if not path.is_file():
            raise DataError(f"{path}: no such file of responses")
        for place, row in jsonl_rows(path):
            if not {"id", "response"} <= row.keys():
                raise DataError(f"{place}: needs id and response; its keys: {', '.join(row)}")
            if not isinstance(row["response"], str):
                raise DataError(f"{place}: response holds {type(row['response']).__name__}, expected text")
            responses.setdefault(str(row["id"]), []).append(row["response"])
        return cls(responses)

    def sample(
        self, requests: Sequence[Request], n: int, *, temperature: float, top_p: float, max_new_tokens: int, seed: int
    ) -> list[list[Response]]:
        """The first `n` responses of each problem; DataError when there are fewer."""
        for request in requests:
            found = len(self.responses.get(request.id, ()))
            if found < n:
                raise DataError(f"problem {request.id!r}: {found} responses given, {n} wanted")
        return [[Response(text, None, False) for text in self.responses[r.id][:n]] for r in requests]
