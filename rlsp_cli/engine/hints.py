"""Problems with their hints, as prompts that fit."""

from collections.abc import Sequence
from typing import NamedTuple

from transformers import PreTrainedTokenizerBase

from rlsp_cli.data import Problem
from rlsp_cli.engine.prompt import encode_prompts, prompt_text
from rlsp_cli.errors import DataError
from rlsp_cli.recipe.schema import Recipe


class Hinted(NamedTuple):
    """A prompt with a hint, as text and as token ids."""

    text: str
    ids: list[int]


def hinted_prompts(
    problems: Sequence[Problem], recipe: Recipe, tokenizer: PreTrainedTokenizerBase
) -> dict[int, Hinted]:
    """By the row of a problem, its prompt with the hint of `ppo.hints`; empty without that section.

    A problem without a hint, or whose prompt would be too long with it, is not there. DataError if
    none is.
    """
    assert recipe.ppo, "checked by the recipe"
    if recipe.ppo.hints is None:
        return {}

    texts = {}
    for row, problem in enumerate(problems):
        shown = recipe.ppo.hints.shown(problem.problem, problem.metadata)
        if shown is not None:
            texts[row] = prompt_text(shown, recipe.data, tokenizer)
    if not texts:
        column = recipe.ppo.hints.column
        raise DataError(f"ppo.hints: no problem has a hint in its column {column!r}")

    encoded = zip(texts.items(), encode_prompts(list(texts.values()), tokenizer), strict=True)
    fit = {
        row: Hinted(text, ids)
        for (row, text), ids in encoded
        if len(ids) <= recipe.ppo.max_prompt_tokens
    }
    if not fit:
        raise DataError(
            f"ppo.hints: with its hint every prompt is longer than ppo.max_prompt_tokens "
            f"{recipe.ppo.max_prompt_tokens}; raise it"
        )
    return fit
