"""After OpenRLHF's training: its models checked, and put where evaluation looks for them."""

import shutil

from rlsp_cli.backends.job_step import JobStep
from rlsp_cli.backends.openrlhf.files import OpenRlhfFiles
from rlsp_cli.backends.publish import publish
from rlsp_cli.engine.model import load_tokenizer
from rlsp_cli.terminal import print


def finish(step: JobStep) -> None:
    """Publish `checkpoints/final` and exported steps, with the tokenizer that they started from."""
    files = OpenRlhfFiles(step.run.stage("ppo"))
    tokenizer = load_tokenizer(step.inputs["model"], step.recipe.model.chat_template)

    for export in sorted(files.exports.glob("step-??????")):
        number = int(export.name.removeprefix("step-"))
        publish(export, tokenizer.save_pretrained, files.stage.exported(number))
        shutil.rmtree(export)

    publish(files.model, tokenizer.save_pretrained, files.stage.final)
    print(f"ppo: checked and handed over: {files.stage.final}")
