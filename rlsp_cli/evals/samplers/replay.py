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
        """Read JSON Lines rows with `id` and `response`; rows of one id are samples of it.

        A row may also have `num_tokens`, `truncated` and `scores`, a number for each scorer, and
        the `prompt`, which may have opened the thinking.
        """
        if not path.is_file():
            raise DataError(f"{path}: no such file of responses")

        responses: dict[str, list[Response]] = {}
        for row in jsonl_rows(path):
            if not {"id", "response"} <= row.columns.keys():
                raise DataError(f"{row.place}: needs id and response; its keys: {row.names}")

            # Ids are text in a bench, and often numbers in a file of responses.
            id = str(row.columns["id"])
            responses.setdefault(id, []).append(_response(row.place, row.columns))
        return cls(responses, uneven)

    def most(self) -> int:
        """Responses to the problem that has the most of them."""
        return max(map(len, self.responses.values()), default=0)

    def count_unknown(self, ids: Iterable[str]) -> int:
        """How many problems with responses are not among `ids`; DataError when none of them is."""
        known = dict.fromkeys(ids)
        unknown = [id for id in self.responses if id not in known]

        # eval.limit cuts a bench, and leaves some ids unknown. If all are, it is the wrong file.
        if known and unknown and len(unknown) == len(self.responses):
            example = next(iter(known))
            raise DataError(
                f"the responses are to other problems: ids such as {unknown[0]!r}, "
                f"expected {example!r}"
            )
        return len(unknown)

    def refuse_fewer(self, ids: Iterable[str], n: int) -> None:
        """DataError when a problem has fewer than `n` responses."""
        for id in ids:
            found = len(self.responses.get(id, ()))
            if found < n:
                raise DataError(f"problem {id!r}: {found} responses given, {n} wanted")

    def answer(
        self, requests: Sequence[Request], decoding: Decoding, done: Container[int] = ()
    ) -> Iterator[tuple[int, Response]]:
        """The given responses by their index.

        DataError when there are fewer, or with `uneven` none.
        """
        for row, request in enumerate(requests):
            found = self.responses.get(request.id, ())
            # Also for rows that are done: a file that has lost lines since is not complete.
            self.refuse_fewer([request.id], 1 if self.uneven else request.index + 1)
            if row not in done and request.index < len(found):
                yield row, found[request.index]


_KINDS: dict[str, tuple[type, str]] = {
    "response": (str, "text"),
    "num_tokens": (int, "a whole number"),
    "truncated": (bool, "true or false"),
    "scores": (dict, "a number for each scorer"),
}
"""The keys of a row that are read, with their types, and what an error says was expected."""
_SHOWN = 20
"""Characters of a wrong value that an error shows."""


def _response(place: str, row: Mapping[str, Any]) -> Response:
    """The response of a row; DataError names the key with a wrong value."""
    given = {key: row[key] for key in _KINDS if key == "response" or row.get(key) is not None}

    for key, value in given.items():
        kind, words = _KINDS[key]
        if not isinstance(value, kind):
            raise DataError(f"{place}: {key} holds {type(value).__name__}, expected {words}")

    # Of the right type, and still no number of tokens: true is an int in Python, and so is -1.
    if "num_tokens" in given and count_of(given["num_tokens"]) is None:
        shown = str(given["num_tokens"])[:_SHOWN]
        raise DataError(f"{place}: num_tokens is {shown}, expected a whole number")

    for scorer, score in given.get("scores", {}).items():
        if number_of(score) is None:
            shown = str(score)[:_SHOWN]
            raise DataError(f"{place}: the score {scorer} is {shown}, expected a number")

    text = whole(str(row.get("prompt") or ""), given["response"])
    return Response(
        text, given.get("num_tokens"), given.get("truncated", False), given.get("scores", {})
    )
