"""Where a model that is trained by a recipe can learn in which form its answer is read."""

from collections.abc import Iterator, Sequence
from itertools import islice

from rlsp_cli.data import recipe_problems, recipe_traces
from rlsp_cli.recipe.schema import Recipe

_MARKS = {
    "\\boxed{}": ("boxed",),
    "<answer> tags": ("<answer",),
    '"####"': ("####",),
    "a code block": ("```", "code"),
}
"""Text that a prompt or a trace with a form has; other forms are what people write anyway."""
_ROWS = 32
_MOST_TRACES = 0.5
"""Share of traces from which a form is taught."""


def where_shown(recipe: Recipe, forms: Sequence[str]) -> str | None:
    """Which of the forms the model is shown, and where; None if nothing shows it any."""
    plain = next((form for form in forms if form not in _MARKS), None)
    if plain is not None:
        return f"{plain} is accepted, which needs no instruction"

    prompts, traces = list(_prompts(recipe)), list(demonstrations(recipe))
    for form in forms:
        if prompts and all(_has(text, form) for text in prompts):
            return f"prompts ask for {form}"
        shown = sum(_has(text, form) for text in traces)
        if traces and shown >= _MOST_TRACES * len(traces):
            return f"{shown} of {len(traces)} traces have {form}"
    return None


def demonstrations(recipe: Recipe) -> Iterator[str]:
    """The first responses that SFT imitates; none without traces."""
    if recipe.sft is None or not recipe.data.traces:
        return
    for trace in islice(recipe_traces(recipe), _ROWS):
        yield trace.response


def _prompts(recipe: Recipe) -> Iterator[str]:
    data = recipe.data
    for problem in islice(recipe_problems(recipe), _ROWS):
        yield f"{data.system or ''}\n{data.ask(problem.problem)}"


def _has(text: str, form: str) -> bool:
    return any(mark in text.lower() for mark in _MARKS[form])
