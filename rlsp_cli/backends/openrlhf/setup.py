"""Before OpenRLHF's training: prompts as text, and a new model when the recipe wants one."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from rlsp_cli.backends.job_step import JobStep, say_note
from rlsp_cli.backends.local.models import starting_tokenizer, write_new_model
from rlsp_cli.backends.openrlhf.checkpoint import choose
from rlsp_cli.backends.openrlhf.files import OpenRlhfFiles
from rlsp_cli.backends.sections import ppo_section
from rlsp_cli.data import Problem, prompt_rows, recipe_problems
from rlsp_cli.engine.ending import refuse_other_end
from rlsp_cli.engine.foreign import ForeignText
from rlsp_cli.engine.model import load_tokenizer
from rlsp_cli.engine.prompt import encode_texts, encoded_problems, fitting
from rlsp_cli.errors import DataError
from rlsp_cli.evals.overlap import refuse_overlap
from rlsp_cli.recipe.ppo import Ppo
from rlsp_cli.recipe.rows import Prompts
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.runs.stream import drop_rows_from, write_lines


def setup(step: JobStep) -> None:
    """Write what the command names; choose the checkpoint that a resumed training loads."""
    recipe, files = step.recipe, OpenRlhfFiles(step.run.stage("ppo"))
    ppo, heldout = ppo_section(recipe), recipe.data.heldout

    problems = recipe_problems(recipe)
    refuse_overlap(recipe, "prompts", problems)
    tokenizer = _tokenizer(recipe, step.inputs["model"], files)
    if recipe.continuation is not None:
        ForeignText(tokenizer)  # refuses a template without second turns

    write_lines(files.prompts, _rows(problems, recipe, tokenizer))
    if ppo.eval_every is not None and heldout is not None:
        write_lines(files.heldout, _heldout(heldout, recipe, tokenizer))

    _prepare_checkpoints(files, ppo, step.resume)
    rows = files.problems()
    say_note(f"{rows} problems in {ppo.num_steps(rows)} rollouts of {ppo.rollout_batch} prompts")


def _prepare_checkpoints(files: OpenRlhfFiles, ppo: Ppo, resume: Path | None) -> None:
    """Let OpenRLHF go on from a checkpoint, or forget what an earlier training has written."""
    files.replies.unlink(missing_ok=True)  # an interrupted rollout is made anew

    # Both folders from the beginning: a checkpoint counts only if all models that have one have it.
    models = ["_actor", "_critic"] if ppo.estimator == "gae" else ["_actor"]
    for model in models:
        (files.checkpoints / model).mkdir(parents=True, exist_ok=True)

    if resume is None:
        drop_rows_from(files.stage.metrics, 0)
        drop_rows_from(files.stage.rollouts, 0)
    else:
        choose(files, resume)


def _tokenizer(recipe: Recipe, model: str, files: OpenRlhfFiles) -> PreTrainedTokenizerBase:
    """The tokenizer of the model that training starts from; a new model is written first."""
    if recipe.sft:
        return load_tokenizer(model, recipe.model.chat_template)

    if recipe.model.from_scratch is not None:
        write_new_model(recipe, files.base)
        return starting_tokenizer(recipe, files.base)

    # OpenRLHF loads the model by itself, and has to stop where turns end in our prompts.
    tokenizer = starting_tokenizer(recipe, files.base)
    refuse_other_end(model, tokenizer)
    return tokenizer


def _rows(
    problems: Iterable[Problem], recipe: Recipe, tokenizer: PreTrainedTokenizerBase
) -> Iterator[str]:
    """A line for each problem whose prompt is short enough."""
    for problem, ids in fitting(problems, recipe, tokenizer, say_note):
        yield _line(_prompt(problem, ids, tokenizer), problem)


def _heldout(source: Prompts, recipe: Recipe, tokenizer: PreTrainedTokenizerBase) -> Iterator[str]:
    problems = prompt_rows(source, recipe.plugins)
    for problem, ids in encoded_problems(problems, recipe.data, tokenizer):
        yield _line(_prompt(problem, ids, tokenizer), problem, heldout=True)


def _prompt(problem: Problem, ids: list[int], tokenizer: PreTrainedTokenizerBase) -> str:
    """The prompt as a text that OpenRLHF reads as our tokens.

    It decodes them again, special tokens kept, in front of each response that it sends to the
    reward function, where this text tells prompt and response apart. DataError when the tokenizer
    cannot do that.
    """
    text = str(tokenizer.decode(ids, skip_special_tokens=False))
    if encode_texts([text], tokenizer) != [ids]:
        raise DataError(
            f"problem {problem.id}: the tokenizer does not read back what it writes, so OpenRLHF "
            f"would train on "
            "another prompt; use the local backend, or another tokenizer"
        )
    return text


def _line(prompt: str, problem: Problem, **more: Any) -> str:
    """A row of OpenRLHF's data; its label is for our bridge, which hands it to the reward service.

    The label is a text of JSON: OpenRLHF passes texts through untouched.
    """
    label = {
        "id": problem.id,
        "reference": problem.answer,
        "metadata": dict(problem.metadata),
        **more,
    }
    row = {"prompt": prompt, "label": json.dumps(label, ensure_ascii=False)}
    return json.dumps(row, ensure_ascii=False) + "\n"
