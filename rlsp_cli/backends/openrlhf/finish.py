"""After OpenRLHF's training: its models checked, and put where evaluation looks for them."""

import shutil
from pathlib import Path
from typing import Any

from rlsp_cli.backends.openrlhf.files import StageFiles
from rlsp_cli.backends.saved import publish
from rlsp_cli.engine.model import load_tokenizer
from rlsp_cli.recipe.load import load_recipe
from rlsp_cli.rewards.registry import resolve_options
from rlsp_cli.runs.paths import RunPaths
from rlsp_cli.terminal import print


def finish(inputs: dict[str, Any]) -> None:
    """Publish `checkpoints/final` and the models of steps, with the tokenizer and chat template they started from."""
    paths = RunPaths(Path(inputs["run"]))
    recipe, files = load_recipe(paths.resolved, plugins=resolve_options), StageFiles(paths.stage("ppo"))
    tokenizer = load_tokenizer(inputs["model"], recipe.model.chat_template)
    for export in sorted(files.exports.glob("step-??????")):
        publish(export, tokenizer.save_pretrained, files.stage.exported(int(export.name.removeprefix("step-"))))
        shutil.rmtree(export)
    publish(files.model, tokenizer.save_pretrained, files.stage.final)
    print(f"ppo: checked and handed over: {files.stage.final}")
