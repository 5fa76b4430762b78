"""After Axolotl's training: adapters merged, the model checked, and put where PPO and evaluation look for it."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from rlsp_cli.backends.axolotl.files import StageFiles
from rlsp_cli.backends.saved import publish
from rlsp_cli.backends.tensors import tensor_shapes
from rlsp_cli.errors import JobError
from rlsp_cli.recipe.load import load_recipe
from rlsp_cli.rewards.registry import resolve_options
from rlsp_cli.runs.paths import RunPaths
from rlsp_cli.terminal import print


def finish(inputs: dict[str, Any]) -> None:
    """Publish `checkpoints/final`: a whole model with the tokenizer that it was trained with."""
    paths = RunPaths(Path(inputs["run"]))
    recipe = load_recipe(paths.resolved, plugins=resolve_options)
    assert recipe.sft, "checked by the recipe"
    files = StageFiles(paths.stage("sft"))
    saved = _merged(files, inputs["python"]) if recipe.sft.axolotl.lora else files.output
    publish(saved, lambda draft: shutil.copytree(files.tokenizer, draft, dirs_exist_ok=True), files.stage.final)
    print(f"sft: checked and handed over: {files.stage.final}")


def _merged(files: StageFiles, python: list[str]) -> Path:
    """The model with its adapters merged in, by Axolotl, which trained them."""
    tensor_shapes(files.output)
    argv = [*python, "-m", "axolotl.cli.merge_lora", str(files.config), f"--lora_model_dir={files.output}"]
    done = subprocess.run(argv, env=os.environ, check=False)
    merged = files.output / "merged"
    if done.returncode or not merged.is_dir():
        raise JobError(f"{files.output}: the adapters could not be merged (exit code {done.returncode})")
    return merged
