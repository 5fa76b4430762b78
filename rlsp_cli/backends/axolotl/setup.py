"""Before Axolotl's training: the data as text, the tokenizer, and a new model if wanted."""

import json
import shutil
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from rlsp_cli.backends.axolotl.checkpoint import checkpoint_step
from rlsp_cli.backends.axolotl.files import AxolotlFiles
from rlsp_cli.backends.axolotl.pairs import pair_lines
from rlsp_cli.backends.axolotl.process_reward import hard_labels
from rlsp_cli.backends.job_step import JobStep
from rlsp_cli.backends.local.models import starting_tokenizer, write_new_model
from rlsp_cli.backends.sections import sft_section
from rlsp_cli.data import (
    LabelledSteps,
    Trace,
    preference_rows,
    recipe_traces,
    step_rows,
    training_rows,
)
from rlsp_cli.engine.lesson import closed_traces, is_closed, lessons
from rlsp_cli.engine.prompt import encode_prompt
from rlsp_cli.engine.step_examples import encode_steps
from rlsp_cli.errors import DataError
from rlsp_cli.evals.overlap import refuse_overlap
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.runs.stream import drop_rows_from, write_lines
from rlsp_cli.terminal import print


def setup(step: JobStep) -> None:
    """Write what the configuration names; drop metrics that a resumed training writes again."""
    recipe, files = step.recipe, AxolotlFiles(step.run.stage("sft"))

    # Both with our own code, so that a new model has the weights and the vocabulary that the
    # embedded engine would start from.
    if recipe.model.from_scratch is not None:
        write_new_model(recipe, files.base)
    tokenizer = starting_tokenizer(recipe, files.base)

    # Axolotl knows its cache by the names of the data files, whatever is in them now.
    shutil.rmtree(files.prepared, ignore_errors=True)
    write = _WRITERS[sft_section(recipe).kind]
    training, validation = write(recipe, files, tokenizer)

    _drop_metrics(files, step.resume)
    print(f"sft: {training} examples for training, {validation} kept out")


def _write_traces(
    recipe: Recipe, files: AxolotlFiles, tokenizer: PreTrainedTokenizerBase
) -> tuple[int, int]:
    """Write traces and the tokenizer; how many are for training, and how many are kept out."""
    traces = recipe_traces(recipe)
    refuse_overlap(recipe, "traces", traces)
    tokenizer.save_pretrained(files.tokenizer)
    closed = sum(1 for _ in closed_traces(traces))
    training, validation = training_rows(closed, sft_section(recipe).val_rows)

    # Those for validation come last, and are what the first file leaves of the stream.
    taught = filter(is_closed, traces)
    write_lines(files.train, _rows(islice(taught, len(training)), recipe, tokenizer))
    if validation:
        write_lines(files.val, _rows(taught, recipe, tokenizer))
    return len(training), len(validation)


def _write_steps(
    recipe: Recipe, files: AxolotlFiles, tokenizer: PreTrainedTokenizerBase
) -> tuple[int, int]:
    """The same of labelled steps: those that the embedded engine would train on, and no others."""
    assert recipe.data.steps, "checked by the recipe"
    rows = step_rows(recipe.data.steps, recipe.plugins)
    training, validation = training_rows(len(rows), sft_section(recipe).val_rows, "responses")

    start = _start_text(tokenizer)
    parts = islice(rows, len(training)), islice(rows, len(training), None)
    taught = list(_step_lines(parts[0], start, recipe, tokenizer))
    kept_out = list(_step_lines(parts[1], start, recipe, tokenizer))
    if not taught:
        limit = sft_section(recipe).max_length
        raise DataError(f"data.steps: no response has a label and at most {limit} tokens")
    write_lines(files.train, taught)
    if validation:
        write_lines(files.val, kept_out)

    # Axolotl would add the token that opens a text, also behind the one that is in a prompt.
    tokenizer.bos_token = None
    tokenizer.save_pretrained(files.tokenizer)
    return len(taught), len(kept_out)


def _write_pairs(
    recipe: Recipe, files: AxolotlFiles, tokenizer: PreTrainedTokenizerBase
) -> tuple[int, int]:
    """The same of pairs of responses."""
    assert recipe.data.pairs, "checked by the recipe"
    pairs = preference_rows(recipe.data.pairs, recipe.plugins)
    refuse_overlap(recipe, "pairs", pairs)
    training, validation = training_rows(len(pairs), sft_section(recipe).val_rows, "pairs")

    taught = pair_lines(islice(pairs, len(training)), recipe, tokenizer)
    write_lines(files.train, taught)
    if not validation:
        kept_out = []
    else:
        kept_out = pair_lines(islice(pairs, len(training), None), recipe, tokenizer)
        write_lines(files.val, kept_out)

    tokenizer.save_pretrained(files.tokenizer)
    return len(taught), len(kept_out)


_WRITERS = {"sft": _write_traces, "prm": _write_steps, "dpo": _write_pairs}


def _step_lines(
    rows: Iterable[LabelledSteps], start: str, recipe: Recipe, tokenizer: PreTrainedTokenizerBase
) -> Iterator[str]:
    """A line of JSON for each response with a label and at most `sft.max_length` tokens."""
    assert recipe.data.steps, "checked by the recipe"
    for row in rows:
        labels = hard_labels(row)
        (example,) = encode_steps([row], recipe.data.steps.separator, tokenizer)
        if example.labels and len(example.tokens) <= sft_section(recipe).max_length:
            shown = {"prompt": start + row.prompt, "completions": row.steps, "labels": labels}
            yield json.dumps(shown, ensure_ascii=False) + "\n"


def _rows(
    traces: Iterable[Trace], recipe: Recipe, tokenizer: PreTrainedTokenizerBase
) -> Iterator[str]:
    """A line of JSON for each trace: the prompt without a label, the response with one.

    Axolotl tokenises segments apart, as the embedded engine does, so the border between prompt and
    response falls on the same tokens in both.
    """
    start = _start_text(tokenizer)
    for lesson in lessons(traces, recipe.data, tokenizer):
        segments = [
            {"label": False, "text": f"{start}{lesson.prompt}"},
            {"label": True, "text": f"{lesson.response}{''.join(lesson.end)}"},
        ]
        yield json.dumps({"segments": segments}, ensure_ascii=False) + "\n"


def _start_text(tokenizer: PreTrainedTokenizerBase) -> str:
    """The token that opens a prompt, as text: Axolotl adds no special tokens to segments.

    Empty with a chat template, which writes that token itself.
    """
    if tokenizer.chat_template:
        return ""
    opens = encode_prompt("x", tokenizer)[:1] == [tokenizer.bos_token_id]
    return str(tokenizer.bos_token) if opens else ""


def _drop_metrics(files: AxolotlFiles, resume: Path | None) -> None:
    """Drop the rows of steps that this training does again."""
    if resume is None:
        files.stage.metrics.unlink(missing_ok=True)
    else:
        drop_rows_from(files.stage.metrics, checkpoint_step(resume))
