"""Has a step scorer been measured before a recipe trains on it?"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rlsp_cli.errors import RlspError
from rlsp_cli.evals.scorer_benches.run import RESULTS
from rlsp_cli.recipe.issue import Note
from rlsp_cli.recipe.plugin_use import ExplorationUse
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.runs.run import RUNS
from rlsp_cli.runs.stream import read_json

_HINT = "rlsp eval --bench processbench --scorer"


def check_measured(recipe: Recipe) -> Iterator[Note]:
    """A note on each step scorer of the reward that no bench in ./runs has measured.

    Measured means: with the same options, and the same models under the names that these are. How a
    response is split and aggregated may differ, since a bench gives the steps.
    """
    if recipe.ppo is None:
        return

    known = list(_results())
    for number, use in enumerate(recipe.reward.exploration):
        if use.steps is not None and not any(_is_of(found, use, recipe) for found in known):
            message = f"trains on {use.use}, which no bench for scorers in {RUNS}/ has measured"
            yield Note(f"reward.exploration.{number}", message, f"{_HINT} {use.use}")


def _results() -> Iterator[Mapping[str, Any]]:
    for path in sorted(RUNS.glob(f"*/*/{RESULTS}")):
        try:
            yield read_json(path)["data"]
        except (OSError, KeyError, RlspError):
            continue  # no result can be read from it


def _is_of(result: Mapping[str, Any], use: ExplorationUse, recipe: Recipe) -> bool:
    scorer, models = result["scorer"], result["models"]
    # A server that was gone has measured nothing.
    if not any(_has_number(subset) for subset in result["subsets"].values()):
        return False
    if Path(scorer["use"]).name != Path(use.use).name:
        return False

    same = all(scorer.get(key) == value for key, value in use.options.items())
    named = {
        name: recipe.models[name].model_dump(mode="json")
        for name in models
        if name in recipe.models
    }
    return same and named == models


def _has_number(subset: Mapping[str, Any]) -> bool:
    return any(subset.get(key) for key in ("on_wrong", "on_right", "accuracy"))
