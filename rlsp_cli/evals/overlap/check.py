"""Refuse training data that holds problems of a bench: in `rlsp check`, and in each stage."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress

from rlsp_cli.errors import DataError, NotReadyError, RlspError
from rlsp_cli.evals.benches import Bench, Benches
from rlsp_cli.evals.overlap.against import index_of, whole_bench
from rlsp_cli.evals.overlap.index import OverlapIndex
from rlsp_cli.evals.overlap.overlap import find_overlaps
from rlsp_cli.evals.overlap.training_set import (
    ROLES,
    HasProblem,
    TrainingSet,
    from_recipe,
    from_rows,
    roles_of,
)
from rlsp_cli.recipe.issue import Issue
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.terminal import print

_TASK_ROWS = 2000
"""Rows of a task that `rlsp check` looks at, to be quick; the stage looks at all of them."""
_HINT = (
    "leave them out with rlsp data clean FILE --against RECIPE --out CLEAN, "
    "or set data.allow_overlap: true"
)


def check_overlap(recipe: Recipe) -> list[Issue]:
    """The overlaps that can be found without the hub."""
    if not _must_differ(recipe):
        return []

    benches = _local_benches(recipe)
    index = index_of(benches)
    issues: list[Issue] = []
    for role in _local_roles(recipe):
        # The check of the data reports what cannot be read.
        with suppress(RlspError):
            training = from_recipe(role, recipe, most_of_task=_TASK_ROWS)
            issues += _issues(training, benches, index)
    return issues


def refuse_overlap(recipe: Recipe, role: str, rows: Iterable[HasProblem]) -> None:
    """DataError when the rows of `data.<role>` hold problems of a bench.

    Prints which benches could not be read.
    """
    if not _must_differ(recipe):
        return

    benches = []
    for name in recipe.eval.benches if recipe.eval else ():
        try:
            benches.append(whole_bench(name, recipe))
        # Training does not need the bench, and evaluation will say that its data is missing.
        except NotReadyError as error:
            print(f"data.{role} is not compared with a bench: {error}", file=sys.stderr)

    found = list(_issues(from_rows(role, role, rows), benches, index_of(benches)))
    if found:
        raise DataError("\n".join(map(str, found)))


def _must_differ(recipe: Recipe) -> bool:
    return recipe.eval is not None and not recipe.data.allow_overlap


def _local_benches(recipe: Recipe) -> list[Bench]:
    assert recipe.eval, "a recipe without eval has no benches"
    found = []
    for name in recipe.eval.benches:
        # `check_benches` and the stages report what cannot be read.
        with suppress(RlspError):
            if not Benches.of(recipe).prompts(name).on_hub:
                found.append(whole_bench(name, recipe))
    return found


def _local_roles(recipe: Recipe) -> Iterator[str]:
    """The keys of data that a stage trains on, and that is not on the hub."""
    for role in roles_of(recipe):
        is_used = getattr(recipe, ROLES[role]) is not None
        if is_used and not _on_hub(recipe, role):
            yield role


def _on_hub(recipe: Recipe, role: str) -> bool:
    return any(source.on_hub for source in recipe.data.sources(role).values())


def _issues(
    training: TrainingSet, benches: Sequence[Bench], index: OverlapIndex
) -> Iterator[Issue]:
    """An issue for each bench with copies in the training data; likely copies raise none."""
    overlaps = list(find_overlaps(training, index, likely=False))
    for bench in benches:
        found = [overlap for overlap in overlaps if overlap.bench == bench.name]
        if found:
            key = f"data.{training.role}"
            many = f"{len(found)} of {len(training.rows)} problems are in the bench {bench.name}"
            yield Issue(key, f"{key}: {many}, such as {found[0]}", _HINT)
