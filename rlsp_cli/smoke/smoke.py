"""A smoke test of a recipe: what it is made of, and what it shows."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from rlsp_cli.preflight import Checked, look_at_made_replies, look_at_prompts
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.rewards.token_count import token_counter
from rlsp_cli.smoke.batches import look_at_batches
from rlsp_cli.smoke.run import look_at_run, run_small
from rlsp_cli.smoke.shrink import Small, shrink
from rlsp_cli.smoke.standin import StandIn


@dataclass(frozen=True)
class Smoke:
    """The checks of a recipe, and what stood in for its parts."""

    checks: tuple[Checked, ...]
    stand_ins: tuple[StandIn, ...]

    @property
    def failed(self) -> list[Checked]:
        """The checks that do not hold."""
        return [one for one in self.checks if one.state == "failed"]

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "ok": not self.failed,
            "checks": [one.to_json() for one in self.checks],
            "stand_ins": [one.to_json() for one in self.stand_ins],
        }


def smoke_recipe(recipe: Recipe, root: Path, screen: Console) -> Smoke:
    """Try a valid recipe with a tiny model in the folder `root`, which is made.

    Errors of its stages are failed checks; a signal raises StageError.
    """
    root.mkdir(parents=True, exist_ok=True)
    small = shrink(recipe, root)
    checks = (
        *_before(recipe, small),
        *look_at_run(run_small(small.recipe, root / "run", screen), screen),
    )
    return Smoke(checks, tuple(small.stand_ins))


def _before(recipe: Recipe, small: Small) -> Iterator[Checked]:
    """The checks that need no run: of the recipe's own numbers, on rows that are here."""
    yield from look_at_batches(recipe)
    if small.recipe.model.path:
        yield from look_at_prompts(recipe, small.recipe)
    if recipe.ppo is None:
        return

    count = token_counter(small.recipe.model)
    assert count, "a small recipe with ppo has a model"
    here = {"data": small.recipe.data, "models": small.recipe.models}
    yield from look_at_made_replies(recipe.model_copy(update=here), count)
