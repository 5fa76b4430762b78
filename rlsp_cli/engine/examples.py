"""Examples of SFT: traces as tokens, which are made once and read from disk."""

import hashlib
import importlib.metadata
import tempfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

from transformers import PreTrainedTokenizerBase

import rlsp_cli
from rlsp_cli.data import Trace
from rlsp_cli.engine.cache_folder import cache_home, cached_folder
from rlsp_cli.engine.lesson import closed_traces, encode_lessons, lessons
from rlsp_cli.engine.pieces import pieces
from rlsp_cli.engine.token_store import TokenStore, write_tokens
from rlsp_cli.errors import DataError
from rlsp_cli.recipe.data import Data
from rlsp_cli.terminal import print

_LIBRARIES = ("jinja2", "tokenizers", "transformers")
"""Whose versions may change the tokens of a text."""


@dataclass(frozen=True)
class Example:
    """A prompt and response as tokens; the loss is taken from `start` on.

    `inputs` is what the model reads instead of `tokens`, if it differs.
    """

    tokens: list[int]
    start: int
    inputs: list[int] | None = None


class Examples(Sequence[Example]):
    """Some rows of a store, each read when it is asked for."""

    def __init__(self, store: TokenStore, rows: Sequence[int]) -> None:
        self._store, self._rows = store, rows

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, number: int) -> Example: ...
    @overload
    def __getitem__(self, number: slice) -> "Examples": ...
    def __getitem__(self, number: int | slice) -> "Example | Examples":
        if isinstance(number, slice):
            return Examples(self._store, self._rows[number])
        row = self._rows[number]
        return Example(self._store[row], int(self._store.prompts[row]))


def tokenised(
    traces: Collection[Trace], data: Data, tokenizer: PreTrainedTokenizerBase
) -> TokenStore:
    """The traces whose thinking ends, as tokens: from the cache, or tokenised now and put there.

    DataError when a trace cannot be an example, see `lessons`.
    """

    def write(folder: Path) -> None:
        notes: list[str] = []
        taught = lessons(closed_traces(traces, notes.append), data, tokenizer, notes.append)
        some = pieces(taught, lambda lesson: len(lesson.prompt) + len(lesson.response))
        encoded = (pair for piece in some for pair in encode_lessons(piece, tokenizer))
        write_tokens(folder, encoded, notes)
        print(f"sft: traces tokenised; their tokens are kept in {cache_home()}")

    store = TokenStore(cached_folder("tokens", _key(traces, data, tokenizer), write))
    for note in store.notes:
        print(note)
    return store


def fitting_examples(store: TokenStore, rows: range, max_length: int) -> Examples:
    """The examples among `rows` of at most `max_length` tokens; the log says how many are longer.

    DataError when none is left.
    """
    kept = [row for row in rows if store.lengths[row] <= max_length]
    print(
        f"sft: {len(kept)} examples; {len(rows) - len(kept)} longer than max_length {max_length} left out"
    )
    if not kept:
        raise DataError(
            f"data.traces: every example is longer than sft.max_length ({max_length} tokens); raise it"
        )
    return Examples(store, kept)


def _key(traces: Iterable[Trace], data: Data, tokenizer: PreTrainedTokenizerBase) -> str:
    """A digest of all that the tokens depend on: traces, prompt, tokenizer, and the code."""
    versions = [(name, importlib.metadata.version(name)) for name in _LIBRARIES]
    digest = hashlib.blake2b(repr([versions, data.template, data.system]).encode(), digest_size=16)

    for part in (*_code(), *_written(tokenizer)):
        digest.update(part)
    for trace in traces:
        digest.update(repr(trace).encode())
    return digest.hexdigest()


def _code() -> Iterator[bytes]:
    """The code of rlsp, any of which may change a prompt."""
    for file in sorted(Path(rlsp_cli.__file__).parent.rglob("*.py")):
        yield file.read_bytes()


def _written(tokenizer: PreTrainedTokenizerBase) -> Iterator[bytes]:
    """A tokenizer with its chat template and special tokens, as files: that form all kinds have."""
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        for file in sorted(Path(folder).rglob("*")):
            if file.is_file():
                yield file.read_bytes()
