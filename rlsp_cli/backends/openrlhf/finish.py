"""After OpenRLHF's training: the model checked, and put where evaluation looks for it."""

from pathlib import Path
from typing import Any

from rlsp_cli.backends.openrlhf.files import StageFiles
from rlsp_cli.backends.saved import publish
from rlsp_cli.engine.model import load_tokenizer
from rlsp_cli.recipe.load import load_recipe
from rlsp_cli.rewards.registry import Registry
from rlsp_cli.runs.paths import RunPaths


def finish(inputs: dict[str, Any]) -> None:
    """Publish `checkpoints/final`: the trained model with the tokenizer and chat template that it started from."""
    paths = RunPaths(Path(inputs["run"]))
    recipe, files = load_recipe(paths.resolved, plugins=Registry()), StageFiles(paths.stage("ppo"))
    tokenizer = load_tokenizer(inputs["model"], recipe.model.chat_template)
    publish(files.model, tokenizer.save_pretrained, files.stage.final)
    print(f"ppo: checked and handed over: {files.stage.final}")
