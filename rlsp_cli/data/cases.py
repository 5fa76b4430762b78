"""Problems of a recipe, to attack its reward with."""

from rlsp_cli.data.problem import prompt_rows
from rlsp_cli.errors import DataError
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.rewards.audit import Case
from rlsp_cli.rewards.sample import Sample

_POOL = 10
"""Rows read for each problem, among whose references a wrong answer is found."""


def audit_cases(recipe: Recipe, problems: int) -> list[Case]:
    """The first problems of the first source of `data.prompts`, or of `data.heldout`.

    The wrong answer to each is another problem's reference, so that it looks like an answer.
    DataError when all references are equal.
    """
    source = next(iter(recipe.data.prompt_sources), recipe.data.heldout)
    if source is None:
        raise DataError(
            "the recipe has no problems to attack with; give data.prompts or data.heldout"
        )

    if not source.has_references:
        raise DataError(
            f"{source.source}: an attack needs the reference answer, and these problems have none; "
            "audit with a source that has answers"
        )

    first = source.model_copy(update={"rows": _POOL * problems})
    rows = [(row, row.answer or "") for row in prompt_rows(first, recipe.plugins)]
    limit = recipe.ppo.max_new_tokens if recipe.ppo else None

    found = []
    for row, answer in rows[:problems]:
        wrong = next((other for _, other in rows if other != answer), None)
        if wrong is None:
            same = "there is one problem" if len(rows) == 1 else f"all references are {answer!r}"
            raise DataError(f"{source.source}: {same}, so no other reference is a wrong answer")

        sample = Sample(row.problem, "", answer, row.id, row.metadata, max_tokens=limit)
        found.append(Case(row.problem, answer, wrong, sample))
    return found
