"""Pairs of responses as Axolotl reads them."""

import json
from collections.abc import Iterable, Sequence

from transformers import PreTrainedTokenizerBase

from rlsp_cli.backends.sections import sft_section
from rlsp_cli.data import Preference
from rlsp_cli.engine.examples import Example
from rlsp_cli.engine.lesson import Lesson
from rlsp_cli.engine.pair_examples import encode_pairs, has_ends, pair_lessons
from rlsp_cli.errors import DataError
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.terminal import print


def pair_lines(
    pairs: Iterable[Preference], recipe: Recipe, tokenizer: PreTrainedTokenizerBase
) -> list[str]:
    """A line of JSON for each pair that Axolotl will train on as the embedded engine does.

    Those that are too long, whose thinking does not end, or whose text TRL would tokenise in
    another way are left out, and counted. DataError when none is left.
    """
    limit, read = sft_section(recipe).max_length, list(pairs)
    lines, otherwise = [], 0
    for both in pair_lessons(filter(has_ends, read), recipe.data, tokenizer):
        (pair,) = encode_pairs([both], tokenizer)
        if pair.length > limit:
            continue
        if _tokenised_alike(both, (pair.chosen, pair.rejected), tokenizer):
            lines.append(_line(both))
        else:
            otherwise += 1

    print(
        f"sft: {len(lines)} of {len(read)} pairs; left out: {otherwise} that Axolotl would "
        f"tokenise otherwise, and those longer than {limit} tokens or whose thinking does not end"
    )
    if not lines:
        raise DataError(
            f"data.pairs: none of {len(read)} pairs is left: {otherwise} would be tokenised "
            f"otherwise than in decoding, the others are longer than {limit} tokens or their "
            "thinking does not end; set sft.backend: local, or raise sft.max_length"
        )
    return lines


def _line(both: tuple[Lesson, Lesson]) -> str:
    better, worse = both
    row = {"prompt": better.prompt, "chosen": _said(better), "rejected": _said(worse)}
    return json.dumps(row, ensure_ascii=False) + "\n"


def _said(lesson: Lesson) -> str:
    return lesson.response + "".join(lesson.end)


def _tokenised_alike(
    both: Sequence[Lesson], examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase
) -> bool:
    """Whether TRL, which tokenises a prompt with its response, comes to the engine's tokens."""
    for lesson, example in zip(both, examples, strict=True):
        said = _said(lesson)
        if not said.endswith(str(tokenizer.eos_token)):
            said += str(tokenizer.eos_token)

        prompt = _by_trl(lesson.prompt, tokenizer)
        if prompt != example.tokens[: example.start]:
            return False
        if _by_trl(lesson.prompt + said, tokenizer) != example.tokens:
            return False
    return True


def _by_trl(text: str, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    ids: list[int] = tokenizer(text)["input_ids"]
    # Axolotl drops the second of two tokens that open a text.
    opens_twice = ids[:2] == [tokenizer.bos_token_id] * 2
    return ids[1:] if opens_twice else ids
