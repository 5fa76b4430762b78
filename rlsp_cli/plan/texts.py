"""What a recipe's data look like: rows, and tokens of prompts and responses."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from math import ceil
from pathlib import Path
from typing import Any, Literal, TypeVar

from rlsp_cli.data import (
    LabelledSteps,
    Preference,
    Problem,
    Trace,
    preference_rows,
    recipe_problems,
    recipe_traces,
    step_rows,
)
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.rewards.token_count import token_counter

Row = TypeVar("Row")
Role = Literal["prompts", "traces", "steps", "pairs"]
"""A key of `data` whose rows are trained on."""
Lengths = tuple[float, float]
"""Tokens of a prompt and of its response."""

_CHARACTERS_PER_TOKEN = 4
"""Of English text, roughly, in the tokenizers of today's models."""
_LOOKED_AT = 1000
"""Rows whose tokens are counted, spread over all; the means of more would be much the same."""


@dataclass(frozen=True)
class Texts:
    """Rows of data, and mean tokens of their prompts and responses.

    `lengths` are those of prompt and response together, for some rows. `counted` by the
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


def texts_of(recipe: Recipe, role: Role) -> Texts:
    """What `data.<role>` looks like. DataError or NotReadyError when it cannot be read."""
    rows = _ROWS[role](recipe)
    lengths = list(_lengths(recipe, role, _some(rows)))
    prompts = sum(prompt for prompt, _ in lengths)
    responses = sum(response for _, response in lengths)
    together = tuple(prompt + response for prompt, response in lengths)

    means = prompts / len(lengths), responses / len(lengths)
    return Texts(len(rows), *means, together, counted=_has_tokenizer(recipe))


def _some(rows: Collection[Row]) -> list[Row]:
    """All rows, or as many as are worth a tokenizer's time."""
    return list(islice(rows, 0, None, ceil(len(rows) / _LOOKED_AT)))


def _lengths(recipe: Recipe, role: Role, rows: Sequence[Any]) -> Iterator[Lengths]:
    """Tokens of the prompt and of the response of each row."""
    if _in_folder(recipe):
        from rlsp_cli.backends.local.lengths import LENGTHS

        yield from LENGTHS[role](recipe, rows)
        return

    count = _counter(recipe)
    for row in rows:
        prompt, *response = _TEXTS[role](recipe, row)
        yield count(prompt), sum(map(count, response))


def _step_rows(recipe: Recipe) -> Collection[LabelledSteps]:
    assert recipe.data.steps, "checked by the recipe"
    return step_rows(recipe.data.steps, recipe.plugins)


def _pair_rows(recipe: Recipe) -> Collection[Preference]:
    assert recipe.data.pairs, "checked by the recipe"
    return preference_rows(recipe.data.pairs, recipe.plugins)


def _of_prompt(recipe: Recipe, problem: Problem) -> Iterator[str]:
    """The prompt without a chat template, with the start of the response."""
    yield (recipe.data.system or "") + recipe.data.ask(problem.problem) + problem.start


def _of_trace(recipe: Recipe, trace: Trace) -> Iterator[str]:
    yield "\n".join(turn.content for turn in trace.turns) or trace.prompt
    yield trace.response


def _of_steps(recipe: Recipe, row: LabelledSteps) -> Iterator[str]:
    yield row.prompt
    yield from row.steps


def _of_pair(recipe: Recipe, pair: Preference) -> Iterator[str]:
    """Both sequences: each response follows the prompt."""
    better, worse = (list(_of_trace(recipe, trace)) for trace in pair.traces)
    yield better[0] + worse[0]
    yield from (better[1], worse[1])


_ROWS: dict[Role, Callable[[Recipe], Collection[Any]]] = {
    "prompts": recipe_problems,
    "traces": recipe_traces,
    "steps": _step_rows,
    "pairs": _pair_rows,
}
"""By role, the rows of a recipe: problems of PPO, or traces, labelled steps or pairs of SFT."""
_TEXTS: dict[Role, Callable[[Recipe, Any], Iterator[str]]] = {
    "prompts": _of_prompt,
    "traces": _of_trace,
    "steps": _of_steps,
    "pairs": _of_pair,
}
"""By role, the texts of a row: the prompt, then the parts of the response."""


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
