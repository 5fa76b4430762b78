"""Before OpenRLHF's training: prompts as text, and a new model when the recipe wants one."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from rlsp_cli.backends.job_step import JobStep, say_note
from rlsp_cli.backends.local.models import starting_tokenizer, write_new_model
from rlsp_cli.backends.openrlhf.checkpoint import choose
from rlsp_cli.backends.openrlhf.files import StageFiles
from rlsp_cli.data import Problem, prompt_rows
from rlsp_cli.engine.ending import refuse_other_end
from rlsp_cli.engine.model import load_tokenizer
from rlsp_cli.engine.prompt import encode_prompt, fitting, prompt_text
from rlsp_cli.errors import DataError
from rlsp_cli.evals.overlap import refuse_overlap
from rlsp_cli.recipe.schema import Ppo, Prompts, Recipe
from rlsp_cli.runs.stream import drop_rows_from, write_lines


def setup(step: JobStep) -> None:
    """Write what the command names, and choose the checkpoint that a resumed training goes on from."""
    recipe, files = step.recipe, StageFiles(step.run.stage("ppo"))
    ppo, prompts, heldout = recipe.ppo, recipe.data.prompts, recipe.data.heldout
    assert ppo and prompts, "checked by the recipe"

    problems = prompt_rows(prompts, recipe.plugins)
    refuse_overlap(recipe, "prompts", problems)
    tokenizer = _tokenizer(recipe, step.inputs["model"], files)

    rows = _rows(problems, ppo, recipe, tokenizer)
    write_lines(files.prompts, rows)
    if ppo.openrlhf.eval_every is not None and heldout is not None:
        write_lines(files.heldout, _heldout(heldout, recipe, tokenizer))

    _prepare_checkpoints(files, ppo, step.resume)
    say_note(
        f"{len(rows)} problems in {ppo.num_steps(len(rows))} rollouts of {ppo.rollout_batch} prompts"
    )


def _prepare_checkpoints(files: StageFiles, ppo: Ppo, resume: Path | None) -> None:
    """Let OpenRLHF go on from a checkpoint, or forget what an earlier training has written."""
    files.answers.unlink(missing_ok=True)  # a rollout that was cut off is made anew
    models = ["_actor", "_critic"] if ppo.estimator == "gae" else ["_actor"]
    for model in models:
        (files.checkpoints / model).mkdir(
            parents=True, exist_ok=True
        )  # so that one without the other does not count

    if resume is None:
        drop_rows_from(files.stage.metrics, 0)
        drop_rows_from(files.stage.rollouts, 0)
    else:
        choose(files, resume)


def _tokenizer(recipe: Recipe, model: str, files: StageFiles) -> PreTrainedTokenizerBase:
    """That of the model which training starts from, made here when it is a new one."""
    if recipe.sft:
        return load_tokenizer(model, recipe.model.chat_template)
    if recipe.model.from_scratch is not None:
        write_new_model(recipe, files.base)
        return starting_tokenizer(recipe, files.base)
    tokenizer = starting_tokenizer(recipe, files.base)
    refuse_other_end(model, tokenizer)
    return tokenizer


def _rows(
    problems: Sequence[Problem], ppo: Ppo, recipe: Recipe, tokenizer: PreTrainedTokenizerBase
) -> list[str]:
    """A line for each problem whose prompt is short enough."""
    kept, left_out = fitting(problems, recipe, tokenizer)
    if left_out:
        limit = f"max_prompt_tokens={ppo.max_prompt_tokens}"
        say_note(f"{left_out} of {len(problems)} problems left out: prompt longer than {limit}")
    return [_line(_prompt(problem, recipe, tokenizer), problem) for problem in kept]


def _prompt(problem: Problem, recipe: Recipe, tokenizer: PreTrainedTokenizerBase) -> str:
    """The prompt as a text that OpenRLHF reads as our tokens, and writes again in front of each response."""
    ids = encode_prompt(prompt_text(problem.problem, recipe.data, tokenizer), tokenizer)
    text = str(tokenizer.decode(ids, skip_special_tokens=False))
    if tokenizer(text, add_special_tokens=False)["input_ids"] != ids:
        raise DataError(
            f"problem {problem.id}: the tokenizer does not read back what it writes, so OpenRLHF would train on "
            "another prompt; use the local backend, or another tokenizer"
        )
    return text


def _line(prompt: str, problem: Problem, **more: Any) -> str:
    """A row of OpenRLHF's data: the label is for our bridge, which hands it to the reward service."""
    label = {
        "id": problem.id,
        "reference": problem.answer,
        "metadata": dict(problem.metadata),
        **more,
    }
    return (
        json.dumps(
            {"prompt": prompt, "label": json.dumps(label, ensure_ascii=False)}, ensure_ascii=False
        )
        + "\n"
    )


def _heldout(source: Prompts, recipe: Recipe, tokenizer: PreTrainedTokenizerBase) -> Iterable[str]:
    for problem in prompt_rows(source, recipe.plugins):
        yield _line(_prompt(problem, recipe, tokenizer), problem, heldout=True)
