"""What the child process does for each stage, with what the run folder has for it."""

from functools import partial
from pathlib import Path
from typing import Any

from rlsp_cli.backends.local.sampling import open_model
from rlsp_cli.backends.served_models import served_models
from rlsp_cli.engine.stop import StopFlag
from rlsp_cli.evals.stage import evaluate_models
from rlsp_cli.recipe.load import load_recipe
from rlsp_cli.rewards.model_use import EVALUATED, models_at
from rlsp_cli.rewards.registry import resolve_options
from rlsp_cli.runs.paths import RunPaths


def run_stage(stage: str, inputs: dict[str, Any]) -> None:
    """Run one stage to its end, or to a StoppedError after a checkpoint."""
    paths, stop = RunPaths(Path(inputs["run"])), StopFlag().install()
    recipe = load_recipe(paths.resolved, plugins=resolve_options)
    if stage == "eval":
        stage_paths = paths.stage("eval")
        asked = models_at(recipe, "reward.correctness", "eval", "continuation") - {EVALUATED}
        with served_models(recipe, asked, stage_paths.root, stop.leave_if_set) as served:
            models = inputs["models"]
            opening = partial(
                open_model,
                recipe=recipe,
                paths=stage_paths,
                check_stop=stop.leave_if_set,
                served=served,
            )
            evaluate_models(recipe, stage_paths, models, opening, stop.leave_if_set, served)
        return
    from rlsp_cli.backends.local import training  # torch: some evaluations do without

    train = {"sft": training.sft, "ppo": training.ppo}[stage]
    train(recipe, paths, inputs, stop)
