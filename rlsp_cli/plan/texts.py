"""What a recipe's data look like: rows, and tokens of prompts and responses."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from math import ceil
from pathlib import Path
from typing import TypeVar

from rlsp_cli.data import (
    LabelledSteps,
    Problem,
    Trace,
    recipe_problems,
    recipe_traces,
    step_rows,
)
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.rewards.token_count import token_counter

Row = TypeVar("Row")
Lengths = tuple[float, float]
"""Tokens of a prompt and of its response."""

_CHARACTERS_PER_TOKEN = 4
"""Of English text, roughly, in the tokenizers of today's models."""
_LOOKED_AT = 1000
"""Rows whose tokens are counted, spread over all; the means of more would be much the same."""


@dataclass(frozen=True)
class Texts:
    """Rows of data, and mean tokens of their prompts and responses.

    `lengths` are those of prompt and response together, for some rows of traces. `counted` by the
    tokenizer where it is on this machine; estimated by characters otherwise.
    """

    rows: int
    prompt_tokens: float
    response_tokens: float = 0
    lengths: tuple[float, ...] = ()
    counted: bool = False

    @property
    def origin(self) -> str:
        """How the tokens were counted."""
        return "counted" if self.counted else f"characters / {_CHARACTERS_PER_TOKEN}"


def prompt_texts(recipe: Recipe) -> Texts:
    """The problems of PPO. DataError or NotReadyError when they cannot be read."""
    found = recipe_problems(recipe)
    some = _some(found)

    lengths = list(_prompt_lengths(recipe, some))
    return Texts(len(found), sum(lengths) / len(some), counted=_has_tokenizer(recipe))


def trace_texts(recipe: Recipe) -> Texts:
    """The traces of SFT. DataError or NotReadyError when they cannot be read."""
    found = recipe_traces(recipe)
    some = _some(found)
    return _texts(recipe, len(found), list(_trace_lengths(recipe, some)))


def step_texts(recipe: Recipe) -> Texts:
    """The responses with labelled steps. DataError or NotReadyError when they cannot be read."""
    assert recipe.data.steps, "checked by the recipe"
    found = step_rows(recipe.data.steps, recipe.plugins)
    some = _some(found)
    return _texts(recipe, len(found), list(_step_lengths(recipe, some)))


def _texts(recipe: Recipe, rows: int, lengths: Sequence[Lengths]) -> Texts:
    """So many rows, of which some have these lengths."""
    prompts = sum(prompt for prompt, _ in lengths)
    responses = sum(response for _, response in lengths)
    together = tuple(prompt + response for prompt, response in lengths)

    means = prompts / len(lengths), responses / len(lengths)
    return Texts(rows, *means, together, counted=_has_tokenizer(recipe))


def _some(rows: Collection[Row]) -> list[Row]:
    """All rows, or as many as are worth a tokenizer's time."""
    return list(islice(rows, 0, None, ceil(len(rows) / _LOOKED_AT)))


def _prompt_lengths(recipe: Recipe, problems: Sequence[Problem]) -> Iterator[float]:
    if _in_folder(recipe):
        from rlsp_cli.backends.local.lengths import prompt_lengths

        yield from prompt_lengths(recipe, problems)
        return

    count = _counter(recipe)
    for problem in problems:
        text = recipe.data.template.replace("{problem}", problem.problem)
        yield count((recipe.data.system or "") + text)


def _trace_lengths(recipe: Recipe, traces: Sequence[Trace]) -> Iterator[Lengths]:
    if _in_folder(recipe):
        from rlsp_cli.backends.local.lengths import trace_lengths

        yield from trace_lengths(recipe, traces)
        return

    count = _counter(recipe)
    for trace in traces:
        asked = "\n".join(turn.content for turn in trace.turns) or trace.prompt
        yield count(asked), count(trace.response)


def _step_lengths(recipe: Recipe, rows: Sequence[LabelledSteps]) -> Iterator[Lengths]:
    if _in_folder(recipe):
        from rlsp_cli.backends.local.lengths import step_lengths

        yield from step_lengths(recipe, rows)
        return

    count = _counter(recipe)
    for row in rows:
        yield count(row.prompt), sum(map(count, row.steps))


def _has_tokenizer(recipe: Recipe) -> bool:
    """Whether tokens can be counted without asking the hub: words of a model from scratch are tokens."""
    return recipe.model.from_scratch is not None or _in_folder(recipe)


def _in_folder(recipe: Recipe) -> bool:
    """Whether the model is a folder with a tokenizer, whose chat template adds tokens of its own."""
    path = recipe.model.path
    return path is not None and (Path(path) / "tokenizer.json").is_file()


def _counter(recipe: Recipe) -> Callable[[str], float]:
    """Counts the words of a model from scratch, with an end; else estimates."""
    count = token_counter(recipe.model) if recipe.model.from_scratch else None
    return count or (lambda text: len(text) / _CHARACTERS_PER_TOKEN)
