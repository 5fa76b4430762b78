"""What the child process does for each stage, in the surroundings that the run folder tells."""

from pathlib import Path
from typing import Any

from rlsp_cli.backends.local.evaluation import evaluate_models
from rlsp_cli.engine.stop import StopFlag
from rlsp_cli.recipe.load import load_recipe
from rlsp_cli.rewards.registry import Registry
from rlsp_cli.runs.paths import RunPaths


def run_stage(stage: str, inputs: dict[str, Any]) -> None:
    """Run one stage to its end, or to a StoppedError after a checkpoint."""
    paths, stop, registry = RunPaths(Path(inputs["run"])), StopFlag().install(), Registry()
    recipe = load_recipe(paths.resolved, plugins=registry)
    if stage == "eval":
        evaluate_models(recipe, paths.stage("eval"), inputs["models"], stop, registry)
        return
    from rlsp_cli.backends.local import training  # torch: some evaluations do without

    train = {"sft": training.sft, "ppo": training.ppo}[stage]
    train(recipe, paths, inputs, stop, registry)
