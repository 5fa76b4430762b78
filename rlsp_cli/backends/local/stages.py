"""What the child process does for each stage, in the surroundings that the run folder tells."""

from pathlib import Path
from typing import Any

from rlsp_cli.backends.local.evaluation import evaluate_models
from rlsp_cli.engine.stop import StopFlag
from rlsp_cli.recipe.load import load_recipe
from rlsp_cli.rewards.registry import resolve_options
from rlsp_cli.runs.paths import RunPaths


def run_stage(stage: str, inputs: dict[str, Any]) -> None:
    """Run one stage to its end, or to a StoppedError after a checkpoint."""
    paths, stop = RunPaths(Path(inputs["run"])), StopFlag().install()
    recipe = load_recipe(paths.resolved, plugins=resolve_options)
    if stage == "eval":
        evaluate_models(recipe, paths.stage("eval"), inputs["models"], stop)
        return
    from rlsp_cli.backends.local import training  # torch: some evaluations do without

    train = {"sft": training.sft, "ppo": training.ppo}[stage]
    train(recipe, paths, inputs, stop)
