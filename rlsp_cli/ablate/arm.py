"""The arms of an ablation: every combination of its factors' values, as valid recipes."""

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from rlsp_cli.ablate.factor import Factor
from rlsp_cli.errors import RecipeError, UsageError
from rlsp_cli.recipe.load import load_recipe
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.rewards.registry import resolve_options

_LONGEST_VALUE = 40
"""Characters of a value in a name, which becomes a folder's."""


@dataclass(frozen=True)
class Arm:
    """A combination of values: its name, the overrides that make it, and its recipe by seed."""

    name: str
    overrides: tuple[str, ...]
    recipes: Mapping[int, Recipe]

    @property
    def recipe(self) -> Recipe:
        """With the first seed."""
        return next(iter(self.recipes.values()))


@dataclass(frozen=True)
class Grid:
    """A recipe file with overrides, and the factors that vary in it."""

    path: Path
    overrides: Sequence[str]
    factors: Sequence[Factor]

    def load(self, *overrides: str) -> Recipe:
        """The recipe with these overrides behind its own; RecipeError if it is not valid."""
        return load_recipe(self.path, [*self.overrides, *overrides], plugins=resolve_options)


def arms_of(grid: Grid, seeds: Sequence[int], always: Sequence[str] = ()) -> list[Arm]:
    """All arms, the last factor changing first, with the overrides `always` on top.

    RecipeError with every issue of every arm, each issue once; UsageError for two equal arms.
    """
    arms, wrong = [], {}
    for name, overrides in _combinations(grid.factors).items():
        try:
            recipes = {seed: grid.load(*overrides, *always, f"seed={seed}") for seed in seeds}
            arms.append(Arm(name, overrides, recipes))
        except RecipeError as error:
            wrong[name] = str(error)

    if wrong:
        raise RecipeError(told_once(wrong, len(wrong) + len(arms)))
    _refuse_equal(arms)
    return arms


def baseline_of(grid: Grid) -> str:
    """The arm that all others are compared with: the recipe's own values, or the first ones.

    A factor is at the recipe's own value if that is among its values, and else at its first.
    """
    own = grid.load().digest
    picked = []
    for factor in grid.factors:
        overrides = list(factor.overrides)
        picked.append(next((one for one in overrides if _digest(grid, one) == own), overrides[0]))

    combinations = _combinations(grid.factors)
    return next(name for name, overrides in combinations.items() if list(overrides) == picked)


def told_once(wrong: Mapping[str, str], arms: int) -> str:
    """The issues of arms by name, a line each; behind it the arm, unless all `arms` have it."""
    having: dict[str, list[str]] = defaultdict(list)
    for name, text in wrong.items():
        for line in text.splitlines():
            having[line].append(name)

    lines = []
    for line, names in having.items():
        others = f" and {len(names) - 1} more" if len(names) > 1 else ""
        lines.append(line if len(names) == arms else f"{line} (in {names[0]}{others})")
    return "\n".join(lines)


def _digest(grid: Grid, override: str) -> str | None:
    """Of the recipe with one more override; None if that is no valid recipe by itself."""
    try:
        return grid.load(override).digest
    except RecipeError:
        return None


def _combinations(factors: Sequence[Factor]) -> dict[str, tuple[str, ...]]:
    """The overrides of each arm by its name."""
    labels = _labels([factor.key for factor in factors])
    found: dict[str, tuple[str, ...]] = {}
    for picked in product(*(zip(f.values, f.overrides, strict=True) for f in factors)):
        texts = [f"{label}={_text(v)}" for label, (v, _) in zip(labels, picked, strict=True)]
        found[_free(",".join(texts), found)] = tuple(override for _, override in picked)
    return found


def _labels(keys: Sequence[str]) -> list[str]:
    """The last parts of keys, or whole keys where two end alike."""
    short = [key.rpartition(".")[2] for key in keys]
    return short if len(set(short)) == len(short) else list(keys)


def _text(value: Any) -> str:
    """A value as a part of a folder's name."""
    text = value if isinstance(value, str) else json.dumps(value)
    return re.sub(r"[^\w.+-]+", "-", text).strip("-")[:_LONGEST_VALUE] or "empty"


def _free(name: str, taken: Mapping[str, Any]) -> str:
    """The name, or with a number where another arm has it."""
    names = (name, *(f"{name}-{number}" for number in range(2, len(taken) + 2)))
    return next(one for one in names if one not in taken)


def _refuse_equal(arms: Sequence[Arm]) -> None:
    for first, second in _equal(arms):
        raise UsageError(
            f"{first.name} and {second.name} are the same recipe; leave out one of the values"
        )


def _equal(arms: Sequence[Arm]) -> Iterator[tuple[Arm, Arm]]:
    seen: dict[str, Arm] = {}
    for arm in arms:
        if arm.recipe.digest in seen:
            yield seen[arm.recipe.digest], arm
        seen[arm.recipe.digest] = arm
