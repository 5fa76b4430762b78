"""Pairs of responses as tokens, for preference training."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from transformers import PreTrainedTokenizerBase

from rlsp_cli.data import Preference
from rlsp_cli.engine.examples import Example
from rlsp_cli.engine.lesson import Lesson, encode_lessons, is_closed, lessons
from rlsp_cli.engine.pieces import pieces
from rlsp_cli.errors import DataError
from rlsp_cli.recipe.data import Data
from rlsp_cli.terminal import print


class PairExample(NamedTuple):
    """A better and a worse response, each after the prompt of both.

    `reference` are the log-probabilities, in nats, that the model gave them before training.
    """

    chosen: Example
    rejected: Example
    reference: tuple[float, float] = (0.0, 0.0)

    @property
    def tokens(self) -> list[int]:
        """What the model reads of it: both sequences."""
        return [*self.chosen.tokens, *self.rejected.tokens]

    @property
    def length(self) -> int:
        """Tokens of the longer sequence."""
        return max(len(self.chosen.tokens), len(self.rejected.tokens))


def pair_lessons(
    pairs: Iterable[Preference], data: Data, tokenizer: PreTrainedTokenizerBase
) -> Iterator[tuple[Lesson, Lesson]]:
    """What each pair teaches to say, and what not to say; see `lessons`."""
    both = (trace for pair in pairs for trace in pair.traces)
    taught = lessons(both, data, tokenizer)
    yield from zip(taught, taught, strict=True)


def has_ends(pair: Preference) -> bool:
    """Whether the thinking ends in both responses; one that was cut off is not known to be worse."""
    return all(map(is_closed, pair.traces))


def encode_pairs(
    lessons: Sequence[tuple[Lesson, Lesson]], tokenizer: PreTrainedTokenizerBase
) -> list[PairExample]:
    """The lessons as tokens."""
    flat = [lesson for both in lessons for lesson in both]
    encoded = (
        Example([*prompt, *response], len(prompt))
        for prompt, response in encode_lessons(flat, tokenizer)
    )
    return [PairExample(*both) for both in zip(encoded, encoded, strict=True)]


def pair_examples(
    pairs: Iterable[Preference], data: Data, tokenizer: PreTrainedTokenizerBase, max_length: int
) -> list[PairExample]:
    """The pairs of at most `max_length` tokens a sequence; the log says how many are left out.

    DataError when none is left.
    """
    read = list(pairs)
    closed = list(filter(has_ends, read))
    examples: list[PairExample] = []
    for some in pieces(pair_lessons(closed, data, tokenizer), _characters):
        examples += encode_pairs(some, tokenizer)
    kept = [example for example in examples if example.length <= max_length]

    print(
        f"sft: {len(kept)} pairs; left out: {len(examples) - len(kept)} longer than max_length "
        f"{max_length}, {len(read) - len(closed)} whose thinking does not end"
    )
    if not kept:
        raise DataError(
            f"data.pairs: no pair has ends to its thinking and at most {max_length} tokens a "
            "sequence (sft.max_length); raise it"
        )
    return kept


def _characters(both: tuple[Lesson, Lesson]) -> int:
    return sum(len(lesson.prompt) + len(lesson.response) for lesson in both)
