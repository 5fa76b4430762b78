"""After Axolotl's training: adapters merged, the model checked, and put where PPO and evaluation look for it."""

import os
import shutil
import subprocess
from pathlib import Path

from rlsp_cli.backends.axolotl.files import StageFiles
from rlsp_cli.backends.job_step import JobStep
from rlsp_cli.backends.publish import publish
from rlsp_cli.backends.tensors import tensor_shapes
from rlsp_cli.errors import JobError
from rlsp_cli.terminal import print


def finish(step: JobStep) -> None:
    """Publish `checkpoints/final`: a whole model with the tokenizer that it was trained with."""
    sft, files = step.recipe.sft, StageFiles(step.run.stage("sft"))
    saved = _merged(files, step.inputs["python"]) if sft and sft.axolotl.lora else files.output
    publish(
        saved,
        lambda draft: shutil.copytree(files.tokenizer, draft, dirs_exist_ok=True),
        files.stage.final,
    )
    print(f"sft: checked and handed over: {files.stage.final}")


def _merged(files: StageFiles, python: list[str]) -> Path:
    """The model with its adapters merged in, by Axolotl, which trained them."""
    tensor_shapes(files.output)
    argv = [
        *python,
        "-m",
        "axolotl.cli.merge_lora",
        str(files.config),
        f"--lora_model_dir={files.output}",
    ]
    done = subprocess.run(argv, env=os.environ, check=False)
    merged = files.output / "merged"
    if done.returncode or not merged.is_dir():
        raise JobError(
            f"{files.output}: the adapters could not be merged (exit code {done.returncode})"
        )
    return merged
