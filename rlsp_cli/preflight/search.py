"""A trial of a recipe's searches on small trees: a policy that breaks there would end the run."""

from collections.abc import Iterator, Sequence

from rlsp_cli.data.returns import Returns
from rlsp_cli.errors import DataError, PluginError
from rlsp_cli.evals.search import ALLOWED, Policy, check_policy, searches_of
from rlsp_cli.recipe.issue import Issue, Note
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.recipe.search import SearchUse, TreeSearch


def look_at_search(recipe: Recipe, stages: Sequence[str]) -> Iterator[Issue]:
    """An issue if a policy asks for what cannot be, or the words of going back cannot be read.

    A note on what else is wrong with a policy.
    """
    # Rounds are evaluated, too.
    for place, use in searches_of(recipe).items() if "eval" in stages else ():
        yield from _tried(place, use, recipe)
        if isinstance(use, TreeSearch):
            yield from _words(place, use)


def _tried(place: str, use: SearchUse, recipe: Recipe) -> Iterator[Issue]:
    try:
        checks = check_policy(Policy(use.use, use.options, recipe.plugins))
    except PluginError as error:
        yield Issue(place, str(error))
        return

    for check in checks:
        if not check.passed:
            kind = Issue if check.name == ALLOWED else Note
            yield kind(place, f"tried on small trees: {check.name}: no: {check.detail}")


def _words(place: str, use: TreeSearch) -> Iterator[Issue]:
    try:
        Returns(use.returns)
    except DataError as error:
        yield Issue(f"{place}.returns", str(error))
