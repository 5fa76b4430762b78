"""Tokens of prompts and responses as training will have them, with the chat template."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rlsp_cli.backends.local.models import first_tokenizer
from rlsp_cli.data import LabelledSteps, Preference, Problem, Trace
from rlsp_cli.engine.lesson import encode_lessons, lessons
from rlsp_cli.engine.prompt import encode_prompts, encoded_problems
from rlsp_cli.engine.step_examples import encode_steps
from rlsp_cli.recipe.schema import Recipe


def _prompt_lengths(recipe: Recipe, problems: Sequence[Problem]) -> Iterator[tuple[int, int]]:
    """Tokens of each problem's prompt, and of no response."""
    for _, ids in encoded_problems(problems, recipe.data, first_tokenizer(recipe)):
        yield len(ids), 0


def _trace_lengths(recipe: Recipe, traces: Sequence[Trace]) -> Iterator[tuple[int, int]]:
    """Tokens of each trace's prompt, and of its response with the end."""
    tokenizer = first_tokenizer(recipe)

    # What it says of traces that do not think, the stage itself will say.
    taught = list(lessons(traces, recipe.data, tokenizer, say=lambda _: None))
    for prompt, response in encode_lessons(taught, tokenizer):
        yield len(prompt), len(response)


def _step_lengths(recipe: Recipe, rows: Sequence[LabelledSteps]) -> Iterator[tuple[int, int]]:
    """Tokens of each prompt, and of its steps with their separators."""
    assert recipe.data.steps, "checked by the recipe"
    tokenizer = first_tokenizer(recipe)
    prompts = encode_prompts([row.prompt for row in rows], tokenizer)
    examples = encode_steps(rows, recipe.data.steps.separator, tokenizer)
    for prompt, example in zip(prompts, examples, strict=True):
        yield len(prompt), len(example.tokens) - len(prompt)


def _pair_lengths(recipe: Recipe, pairs: Sequence[Preference]) -> Iterator[tuple[int, int]]:
    """Tokens of both prompts and of both responses of each pair."""
    lengths = _trace_lengths(recipe, [trace for pair in pairs for trace in pair.traces])
    for better, worse in zip(lengths, lengths, strict=True):
        yield better[0] + worse[0], better[1] + worse[1]


LENGTHS: dict[str, Callable[[Recipe, Sequence[Any]], Iterator[tuple[int, int]]]] = {
    "prompts": _prompt_lengths,
    "traces": _trace_lengths,
    "steps": _step_lengths,
    "pairs": _pair_lengths,
}
"""By key of `data`: tokens of the prompt and of the response of each row."""
