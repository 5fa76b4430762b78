"""Tokens of prompts and responses as training will have them, with the chat template."""

from collections.abc import Iterator, Sequence

from rlsp_cli.backends.local.models import first_tokenizer
from rlsp_cli.data import Problem, Trace
from rlsp_cli.engine.lesson import encode_lessons, lessons
from rlsp_cli.engine.prompt import encoded_problems
from rlsp_cli.recipe.schema import Recipe


def prompt_lengths(recipe: Recipe, problems: Sequence[Problem]) -> Iterator[int]:
    """Tokens of each problem's prompt."""
    for _, ids in encoded_problems(problems, recipe.data, first_tokenizer(recipe)):
        yield len(ids)


def trace_lengths(recipe: Recipe, traces: Sequence[Trace]) -> Iterator[tuple[int, int]]:
    """Tokens of each trace's prompt, and of its response with the end."""
    tokenizer = first_tokenizer(recipe)

    # What it says of traces that do not think, the stage itself will say.
    taught = list(lessons(traces, recipe.data, tokenizer, say=lambda _: None))
    for prompt, response in encode_lessons(taught, tokenizer):
        yield len(prompt), len(response)
