"""The reward service of a training job: the recipe's rewards, and the job's journal."""

import os
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from rlsp_cli.backends.job_step import JobStep
from rlsp_cli.backends.openrlhf.checkpoint import checkpoint_step
from rlsp_cli.backends.openrlhf.files import OpenRlhfFiles
from rlsp_cli.backends.openrlhf.journal import Journal
from rlsp_cli.backends.sections import ppo_section
from rlsp_cli.backends.served_models import served_models
from rlsp_cli.errors import NotReadyError
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.rewards.model_use import models_at
from rlsp_cli.rewards.models import Addresses
from rlsp_cli.rewards.service.turns import TurnTaking
from rlsp_cli.terminal import print

_ROLLOUTS_WAITING = 8
"""Rollouts whose samples may wait for a score before the service refuses more."""


def serve_job(step: JobStep, *options: str) -> None:
    """Serve until stopped; `options` are `--host HOST` and `--port PORT`, both optional.

    The driver that starts the service names in RLSP_JOB_ERROR_FILE where the reason of the job's
    end belongs.
    """
    try:
        from rlsp_cli.rewards.service.server import run_service
    except ImportError as error:
        missing = f"({error.name} is missing)"
        raise NotReadyError(f"openrlhf needs `pip install 'rlsp[serve]'` {missing}") from error

    given = dict(zip(options[::2], options[1::2], strict=True))
    recipe, files = step.recipe, OpenRlhfFiles(step.run.stage("ppo"))
    expected = checkpoint_step(step.resume) if step.resume else 0
    report = os.environ.get("RLSP_JOB_ERROR_FILE")

    # Schedules of rewards run over all steps, whose number `ppo.episodes` alone does not tell.
    total = ppo_section(recipe).num_steps(files.problems())
    ppo = ppo_section(recipe).model_copy(update={"steps": total})
    recipe = recipe.model_copy(update={"ppo": ppo})

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    journal = Journal(recipe, ppo, files, total, expected, Path(report) if report else None)
    asked = models_at(recipe, "reward", "continuation")
    with (
        closing(journal),
        served_models(recipe, asked, step.run.stage("ppo").root) as models,
        _turns(recipe, step.inputs["model"], models) as turns,
    ):
        run_service(
            recipe,
            given.get("--host", "127.0.0.1"),
            int(given.get("--port", "0")),
            say,
            tokenizer=step.inputs["model"],
            backlog=_ROLLOUTS_WAITING * ppo.responses,
            journal=journal,
            models=models,
            turns=turns,
        )


@contextmanager
def _turns(recipe: Recipe, model: str, models: Addresses) -> Iterator[TurnTaking | None]:
    """What answers between the model's words, if the recipe has a continuation."""
    if recipe.continuation is None:
        yield None
        return

    # It imports torch, for which other trainings do not wait.
    from rlsp_cli.backends.openrlhf.turns import served_turns

    with served_turns(recipe, model, models) as turns:
        yield turns
