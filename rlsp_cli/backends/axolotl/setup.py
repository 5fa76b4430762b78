"""Before Axolotl's training: the data as text, the tokenizer, and a model from scratch when the recipe wants one."""

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from rlsp_cli.backends.axolotl.checkpoint import checkpoint_step
from rlsp_cli.backends.axolotl.files import StageFiles
from rlsp_cli.backends.job_step import JobStep
from rlsp_cli.backends.local.models import starting_tokenizer, write_new_model
from rlsp_cli.data import Trace, trace_rows, training_rows
from rlsp_cli.engine.lesson import closed_traces, lessons
from rlsp_cli.engine.prompt import encode_prompt
from rlsp_cli.evals.overlap import refuse_overlap
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.runs.stream import drop_rows_from, write_lines
from rlsp_cli.terminal import print


def setup(step: JobStep) -> None:
    """Write what the configuration names, and drop the metrics that a resumed training will write again."""
    recipe, files = step.recipe, StageFiles(step.run.stage("sft"))
    assert recipe.sft and recipe.data.traces, "checked by the recipe"
    traces = trace_rows(recipe.data.traces, recipe.plugins)
    refuse_overlap(recipe, "traces", traces)
    if recipe.model.from_scratch is not None:
        write_new_model(recipe, files.base)
    tokenizer = starting_tokenizer(recipe, files.base)
    tokenizer.save_pretrained(files.tokenizer)
    shutil.rmtree(
        files.prepared, ignore_errors=True
    )  # Axolotl knows it by the files' names, whatever is in them now
    training, validation = training_rows(closed_traces(traces), recipe.sft.val_rows)
    write_lines(files.train, _rows(training, recipe, tokenizer))
    if validation:
        write_lines(files.val, _rows(validation, recipe, tokenizer))
    _drop_metrics(files, step.resume)
    print(f"sft: {len(training)} examples for training, {len(validation)} kept out")


def _rows(
    traces: Sequence[Trace], recipe: Recipe, tokenizer: PreTrainedTokenizerBase
) -> Iterator[str]:
    """Segments of text, of which Axolotl learns those with a label; tokenised each by itself, as our engine does."""
    starts = not tokenizer.chat_template and encode_prompt("x", tokenizer)[:1] == [
        tokenizer.bos_token_id
    ]
    start = tokenizer.bos_token if starts else ""  # Axolotl adds no special tokens to segments
    for lesson in lessons(traces, recipe.data, tokenizer):
        segments = [
            {"label": False, "text": f"{start}{lesson.prompt}"},
            {"label": True, "text": f"{lesson.response}{''.join(lesson.end)}"},
        ]
        yield json.dumps({"segments": segments}, ensure_ascii=False) + "\n"


def _drop_metrics(files: StageFiles, resume: Path | None) -> None:
    """Of steps that this training does again."""
    if resume is None:
        files.stage.metrics.unlink(missing_ok=True)
    else:
        drop_rows_from(files.stage.metrics, checkpoint_step(resume))
