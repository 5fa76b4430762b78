"""The reward service of a training job: the recipe's rewards, and the job's journal."""

import os
import sys
from contextlib import closing
from pathlib import Path

from rlsp_cli.backends.job_step import JobStep
from rlsp_cli.backends.openrlhf.checkpoint import checkpoint_step
from rlsp_cli.backends.openrlhf.files import StageFiles
from rlsp_cli.backends.openrlhf.journal import Journal
from rlsp_cli.errors import NotReadyError
from rlsp_cli.terminal import print


def serve_job(step: JobStep, *options: str) -> None:
    """Serve until told to end; `options` are `--host HOST` and `--port PORT`, in this order, both optional."""
    try:
        from rlsp_cli.rewards.service.server import run_service
    except ImportError as error:
        raise NotReadyError(
            f"openrlhf needs `pip install 'rlsp[serve]'` ({error.name} is missing)"
        ) from error

    given = dict(zip(options[::2], options[1::2], strict=True))
    recipe, files = step.recipe, StageFiles(step.run.stage("ppo"))
    assert recipe.ppo, "checked by the recipe"
    total, resume = recipe.ppo.num_steps(files.problems()), step.resume
    report = os.environ.get("RLSP_JOB_ERROR_FILE")
    responses = recipe.ppo.responses
    recipe = recipe.model_copy(update={"ppo": recipe.ppo.model_copy(update={"steps": total})})
    expected = checkpoint_step(resume) if resume else 0

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    with closing(
        Journal(recipe, files, total, expected, Path(report) if report else None)
    ) as journal:
        run_service(
            recipe,
            given.get("--host", "127.0.0.1"),
            int(given.get("--port", "0")),
            say,
            tokenizer=step.inputs["model"],
            backlog=8 * responses,
            journal=journal,
        )
