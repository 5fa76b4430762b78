"""The design of an ablation, before it has a folder: arms, seeds, and the baseline."""

from collections.abc import Sequence
from dataclasses import dataclass

from rlsp_cli.ablate.arm import Arm, Grid, arms_of, baseline_of, told_once
from rlsp_cli.ablate.factor import read_factors
from rlsp_cli.ablate.paths import AblationPaths
from rlsp_cli.backends import backend_of, stages_of
from rlsp_cli.errors import RecipeError, UsageError
from rlsp_cli.preflight import inspect_recipe
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.recipe.shipped import find_recipe
from rlsp_cli.runs.paths import RunPaths
from rlsp_cli.runs.run import Run


@dataclass(frozen=True)
class Design:
    """Arms of `recipe` and the seeds of each; `baseline` is the name of an arm."""

    grid: Grid
    recipe: Recipe
    arms: Sequence[Arm]
    seeds: Sequence[int]
    baseline: str

    @property
    def is_array(self) -> bool:
        """Whether the runs are tasks of a Slurm array."""
        return _fits_a_task(self.recipe)


def read_design(name: str, overrides: Sequence[str], over: Sequence[str], seeds: int) -> Design:
    """The design for a recipe's name or file; `seeds` counts from the recipe's own.

    UsageError or RecipeError for whatever cannot be trained or compared.
    """
    grid = Grid(find_recipe(name), overrides, read_factors(over))
    recipe = grid.load()
    numbers = range(recipe.seed, recipe.seed + seeds)

    # A run in an array has its machine already.
    always = ["cluster.launcher=local"] if _fits_a_task(recipe) else []
    arms = arms_of(grid, numbers, always)
    for arm in arms:
        _refuse(arm)
    return Design(grid, recipe, arms, tuple(numbers), baseline_of(grid))


def check_arms(design: Design, paths: AblationPaths | None) -> list[str]:
    """Look at all that the arms will use, as every start does; returns notes, each once.

    `paths` is the ablation that goes on, whose finished stages are not looked at. RecipeError with
    every issue of every arm.
    """
    notes: dict[str, None] = {}
    wrong = {}
    for arm in design.arms:
        try:
            stages = _unfinished(arm, paths)
            if stages:
                found = inspect_recipe(arm.recipe, design.grid.path, stages, ask_hub=True)
                notes |= dict.fromkeys(found)
        except RecipeError as error:
            wrong[arm.name] = str(error)

    if wrong:
        raise RecipeError(told_once(wrong, len(design.arms)))
    return list(notes)


def _fits_a_task(recipe: Recipe) -> bool:
    """Whether a run can be one job on Slurm: where other backends train, each stage starts its own."""
    stages = stages_of(recipe)
    is_local = all(backend_of(recipe, stage).name == "local" for stage in stages)
    return recipe.cluster.launcher == "slurm" and is_local


def _unfinished(arm: Arm, paths: AblationPaths | None) -> list[str]:
    """The stages that some run of an arm has not done yet."""
    stages = stages_of(arm.recipe)
    if paths is None:
        return list(stages)

    runs = [Run(RunPaths(paths.run(arm.name, seed)), arm.recipes[seed]) for seed in arm.recipes]
    done = [run.status().stages for run in runs]
    return [stage for stage in stages if any(one.get(stage) != "done" for one in done)]


def _refuse(arm: Arm) -> None:
    if arm.recipe.eval is None:
        raise UsageError(
            f"{arm.name}: settings are compared by their evaluation, and this recipe has none; "
            "add a section eval"
        )
    if arm.recipe.rounds is not None:
        raise UsageError(
            f"{arm.name}: an ablation compares single runs; add rounds=null to leave out the rounds"
        )
