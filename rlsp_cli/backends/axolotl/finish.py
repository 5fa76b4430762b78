"""After Axolotl's training: adapters merged, the model checked, and put where PPO and evaluation look for it."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from rlsp_cli.backends.axolotl.checkpoint import tensor_shapes
from rlsp_cli.backends.axolotl.files import StageFiles
from rlsp_cli.errors import JobError
from rlsp_cli.recipe.load import load_recipe
from rlsp_cli.rewards.registry import Registry
from rlsp_cli.runs.paths import RunPaths

_MODEL = ("config.json", "generation_config.json", "*.safetensors", "*.safetensors.index.json")


def finish(inputs: dict[str, Any]) -> None:
    """Publish `checkpoints/final`: a whole model with the tokenizer that it was trained with."""
    paths = RunPaths(Path(inputs["run"]))
    recipe = load_recipe(paths.resolved, plugins=Registry())
    assert recipe.sft, "checked by the recipe"
    files = StageFiles(paths.stage("sft"))
    saved = _merged(files, inputs["python"]) if recipe.sft.lora else files.output
    draft = files.stage.final.with_name("draft-final")
    shutil.rmtree(draft, ignore_errors=True)
    shutil.copytree(files.tokenizer, draft)
    for pattern in _MODEL:
        for file in saved.glob(pattern):
            shutil.copy2(file, draft)
    check_model(draft)
    shutil.rmtree(files.stage.final, ignore_errors=True)
    draft.rename(files.stage.final)
    print(f"sft: checked and handed over: {files.stage.final}")


def check_model(folder: Path) -> None:
    """JobError when the files of a model are not whole, or when their tensors are not those of its architecture."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    shapes = tensor_shapes(folder)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder))
    wanted = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    tied = set(getattr(model, "all_tied_weights_keys", None) or [])
    missing = sorted(wanted.keys() - shapes.keys() - tied)
    if missing:
        raise JobError(f"{folder}: {len(missing)} tensors are missing, such as {missing[0]}")
    for name in sorted(wanted.keys() & shapes.keys()):
        if wanted[name] != shapes[name]:
            raise JobError(f"{folder}: tensor {name} has shape {shapes[name]}, its config says {wanted[name]}")


def _merged(files: StageFiles, python: list[str]) -> Path:
    """The model with its adapters merged in, by Axolotl, which trained them."""
    tensor_shapes(files.output)
    argv = [*python, "-m", "axolotl.cli.merge_lora", str(files.config), f"--lora_model_dir={files.output}"]
    done = subprocess.run(argv, env=os.environ, check=False)
    merged = files.output / "merged"
    if done.returncode or not merged.is_dir():
        raise JobError(f"{files.output}: the adapters could not be merged (exit code {done.returncode})")
    return merged
