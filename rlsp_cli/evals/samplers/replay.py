"""Responses that were written elsewhere, read from a file."""

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rlsp_cli.data import jsonl_rows
from rlsp_cli.errors import DataError
from rlsp_cli.evals.samplers.sampler import Decoding, Request, Response
from rlsp_cli.outside import count_of, number_of
from rlsp_cli.rewards.thinking import whole


class ReplaySampler:
    """Gives responses that were written elsewhere, by problem id.

    With `uneven` a problem with fewer responses than are asked for gives all that it has.
    """

    def __init__(self, responses: Mapping[str, Sequence[Response]], uneven: bool = False) -> None:
        self.responses, self.uneven = responses, uneven

    @classmethod
    def from_file(cls, path: Path, uneven: bool = False) -> "ReplaySampler":
        """Read JSON Lines rows with `id` and `response`; several rows of one id are several samples.

        A row may also have `num_tokens`, `truncated` and `scores`, a number for each scorer, and
        the `prompt`, which may have opened the thinking.
        """
        responses: dict[str, list[Response]] = {}
        if not path.is_file():
            raise DataError(f"{path}: no such file of responses")
        for row in jsonl_rows(path):
            if not {"id", "response"} <= row.columns.keys():
                raise DataError(f"{row.place}: needs id and response; its keys: {row.names}")
            responses.setdefault(str(row.columns["id"]), []).append(
                _response(row.place, row.columns)
            )
        return cls(responses, uneven)

    def most(self) -> int:
        """Responses to the problem that has the most of them."""
        return max(map(len, self.responses.values()), default=0)

    def strangers(self, ids: Iterable[str]) -> int:
        """How many of the problems that have responses are none of `ids`; DataError when that is all of them."""
        known = dict.fromkeys(ids)
        strange = [id for id in self.responses if id not in known]
        if known and strange and len(strange) == len(self.responses):
            example = next(iter(known))
            raise DataError(
                f"the responses are to other problems: ids such as {strange[0]!r}, expected {example!r}"
            )
        return len(strange)

    def refuse_fewer(self, ids: Iterable[str], n: int) -> None:
        """DataError when a problem has fewer than `n` responses."""
        for id in ids:
            found = len(self.responses.get(id, ()))
            if found < n:
                raise DataError(f"problem {id!r}: {found} responses given, {n} wanted")

    def answer(
        self, requests: Sequence[Request], decoding: Decoding, done: Container[int] = ()
    ) -> Iterator[tuple[int, Response]]:
        """The given responses by their index; DataError when there are fewer, or with `uneven` none."""
        for row, request in enumerate(requests):
            found = self.responses.get(request.id, ())
            self.refuse_fewer([request.id], 1 if self.uneven else request.index + 1)
            if row not in done and request.index < len(found):
                yield row, found[request.index]


_KINDS: dict[str, tuple[type, str]] = {
    "response": (str, "text"),
    "num_tokens": (int, "a whole number"),
    "truncated": (bool, "true or false"),
    "scores": (dict, "a number for each scorer"),
}


def _response(place: str, row: Mapping[str, Any]) -> Response:
    given = {key: row[key] for key in _KINDS if key == "response" or row.get(key) is not None}
    for key, value in given.items():
        kind, words = _KINDS[key]
        if not isinstance(value, kind):
            raise DataError(f"{place}: {key} holds {type(value).__name__}, expected {words}")
    if "num_tokens" in given and count_of(given["num_tokens"]) is None:
        raise DataError(
            f"{place}: num_tokens is {str(given['num_tokens'])[:20]}, expected a whole number"
        )
    for scorer, score in given.get("scores", {}).items():
        if number_of(score) is None:
            raise DataError(f"{place}: the score {scorer} is {str(score)[:20]}, expected a number")
    text = whole(str(row.get("prompt") or ""), given["response"])
    return Response(
        text, given.get("num_tokens"), given.get("truncated", False), given.get("scores", {})
    )
