"""After Axolotl's training: adapters merged, the model checked and published."""

import os
import shutil
import subprocess
from pathlib import Path

from rlsp_cli.backends.axolotl.files import AxolotlFiles
from rlsp_cli.backends.job_step import JobStep
from rlsp_cli.backends.local.models import starting_tokenizer
from rlsp_cli.backends.publish import publish
from rlsp_cli.backends.sections import sft_section
from rlsp_cli.backends.tensors import tensor_shapes
from rlsp_cli.errors import JobError
from rlsp_cli.terminal import print


def finish(step: JobStep) -> None:
    """Publish `checkpoints/final`: a whole model with the tokenizer that it was trained with."""
    files = AxolotlFiles(step.run.stage("sft"))
    has_adapters = sft_section(step.recipe).lora is not None
    saved = _merged(files, step.inputs["python"]) if has_adapters else files.output

    def write_tokenizer(draft: Path) -> None:
        if step.recipe.trains_prm:  # Axolotl's copy opens no text
            starting_tokenizer(step.recipe, files.base).save_pretrained(draft)
        else:
            shutil.copytree(files.tokenizer, draft, dirs_exist_ok=True)

    publish(saved, write_tokenizer, files.stage.final)
    print(f"sft: checked and handed over: {files.stage.final}")


def _merged(files: AxolotlFiles, python: list[str]) -> Path:
    """The model with its adapters merged in, by Axolotl, which trained them."""
    tensor_shapes(files.output)  # a damaged adapter would end in a long traceback of Axolotl's
    lora = f"--lora_model_dir={files.output}"
    argv = [*python, "-m", "axolotl.cli.merge_lora", str(files.config), lora]

    done = subprocess.run(argv, env=os.environ, check=False)
    merged = files.output / "merged"
    if done.returncode or not merged.is_dir():
        reason = f"the adapters could not be merged (exit code {done.returncode})"
        raise JobError(f"{files.output}: {reason}")
    return merged
