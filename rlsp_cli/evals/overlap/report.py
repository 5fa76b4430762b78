"""A comparison of training data with benches, as `rlsp data check` shows it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rlsp_cli.data.formats import Columns
from rlsp_cli.data.source import HUB_ID
from rlsp_cli.errors import DataError
from rlsp_cli.evals.benches import Bench
from rlsp_cli.evals.overlap.against import benches_against, compared_bench, index_of
from rlsp_cli.evals.overlap.index import CANNOT_FIND
from rlsp_cli.evals.overlap.overlap import Overlap, OverlapCounts, count_overlaps, find_overlaps
from rlsp_cli.evals.overlap.training_set import (
    TrainingSet,
    from_recipe,
    from_source,
    is_file_of_rows,
    roles_of,
)
from rlsp_cli.recipe.load import load_recipe
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.recipe.shipped import find_recipe, shipped_recipes
from rlsp_cli.rewards.registry import resolve_options


@dataclass(frozen=True)
class OverlapReport:
    """Training data beside benches: the rows that are copies of problems, and the likely copies."""

    train: str
    sets: Sequence[TrainingSet]
    benches: Sequence[Bench]
    copies: Sequence[Overlap]
    likely: Sequence[Overlap]
    unread: Sequence[str] = field(default_factory=list)

    def counts(self, bench: Bench) -> OverlapCounts:
        """How many rows share text with how many problems of a bench."""
        return count_overlaps([*self.copies, *self.likely], bench.name)

    def to_json(self) -> dict[str, Any]:
        """Plain data.

        `clean` means that every row could be read and none is a copy, as far as the rules can find.
        """
        sets = []
        for one in self.sets:
            sets.append({"role": one.role, "source": one.source, "rows": len(one.rows)})

        benches = []
        for bench in self.benches:
            benches.append({**compared_bench(bench).to_json(), **self.counts(bench).to_json()})

        return {
            "train": self.train,
            "clean": not self.copies and not self.unread,
            "cannot_find": CANNOT_FIND,
            "sets": sets,
            "benches": benches,
            "copies": [overlap.to_json() for overlap in self.copies],
            "likely": [overlap.to_json() for overlap in self.likely],
            "unread": list(self.unread),
        }


def compare_data(
    train: str, against: Sequence[str], data: Path | None, columns: Columns
) -> OverlapReport:
    """Compare a file, a hub id or a recipe's training data with benches.

    The benches are read from `data` if it is given. NotReadyError names every bench whose data is
    missing: data that was not compared is not clean.
    """
    recipe = None
    if _is_recipe(train):
        recipe = load_recipe(find_recipe(train), plugins=resolve_options)

    benches = benches_against(against, recipe, data)
    sets = _sets(recipe) if recipe else [from_source(train, columns)]

    index = index_of(benches)
    found: list[Overlap] = []
    unread: list[str] = []
    for one in sets:
        found += find_overlaps(one, index)
        unread += one.unread

    return OverlapReport(
        train,
        sets,
        benches,
        copies=[overlap for overlap in found if overlap.is_copy],
        likely=[overlap for overlap in found if not overlap.is_copy],
        unread=unread,
    )


def _sets(recipe: Recipe) -> list[TrainingSet]:
    sets = [from_recipe(role, recipe) for role in roles_of(recipe)]
    if not sets:
        raise DataError(
            f"recipe {recipe.name!r} has no training data: neither data.traces nor data.prompts"
        )
    return sets


def _is_recipe(train: str) -> bool:
    if train in shipped_recipes() or Path(train).suffix in (".yaml", ".yml"):
        return True

    # Whatever is no source of rows is taken for a recipe, whose error names those that exist.
    elsewhere = train.startswith(("hf:", "task:")) or HUB_ID.fullmatch(train)
    return not is_file_of_rows(train) and not elsewhere
