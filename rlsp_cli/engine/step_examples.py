"""Labelled steps as tokens: what a process reward model reads, and where it is to say what."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, islice
from typing import NamedTuple

from transformers import PreTrainedTokenizerBase

from rlsp_cli.data import LabelledSteps
from rlsp_cli.engine.pieces import pieces
from rlsp_cli.engine.prompt import encode_prompts, encode_texts
from rlsp_cli.errors import DataError
from rlsp_cli.terminal import print


class StepExample(NamedTuple):
    """Token ids, the positions of the labelled steps' last tokens, and their labels."""

    tokens: list[int]
    ends: list[int]
    labels: list[float]


def encode_steps(
    rows: Sequence[LabelledSteps], separator: str, tokenizer: PreTrainedTokenizerBase
) -> list[StepExample]:
    """The rows as examples. DataError for a step that has no token.

    The prompt, each step and each separator are tokenised apart, as by Axolotl's
    `stepwise_supervised`, so that the tokens of a step do not depend on the step after it. The last
    token of a step and its separator carries the step's label.
    """
    prompts = encode_prompts([row.prompt for row in rows], tokenizer)
    steps = iter(encode_texts([step for row in rows for step in row.steps], tokenizer))
    (end,) = encode_texts([separator], tokenizer)

    found = []
    for row, prompt in zip(rows, prompts, strict=True):
        own = list(islice(steps, len(row.steps)))
        if not all(own):
            raise DataError(f"{row.place}: the tokenizer makes no token of step {own.index([])}")
        found.append(_example(prompt, [[*step, *end] for step in own], row.labels))
    return found


def step_examples(
    rows: Iterable[LabelledSteps],
    separator: str,
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
) -> list[StepExample]:
    """The rows with a label and at most `max_length` tokens; the log says how many are left out.

    DataError when none is left.
    """
    examples = list(_encoded(rows, separator, tokenizer))
    labelled = [example for example in examples if example.labels]
    kept = [example for example in labelled if len(example.tokens) <= max_length]

    print(
        f"sft: {len(kept)} responses with labelled steps; left out: {len(labelled) - len(kept)} "
        f"longer than max_length {max_length}, {len(examples) - len(labelled)} without a label"
    )
    if not kept:
        raise DataError(
            f"data.steps: no response has a label and at most {max_length} tokens "
            "(sft.max_length); raise it"
        )
    return kept


def _encoded(
    rows: Iterable[LabelledSteps], separator: str, tokenizer: PreTrainedTokenizerBase
) -> Iterator[StepExample]:
    for some in pieces(rows, lambda row: len(row.text)):
        yield from encode_steps(some, separator, tokenizer)


def _example(
    prompt: list[int], steps: list[list[int]], labels: Sequence[float | None]
) -> StepExample:
    tokens = [*prompt, *(token for step in steps for token in step)]
    ends = [len(prompt) + length - 1 for length in accumulate(len(step) for step in steps)]

    labelled = [(end, label) for end, label in zip(ends, labels, strict=True) if label is not None]
    return StepExample(tokens, [end for end, _ in labelled], [label for _, label in labelled])
