"""Before Axolotl's training: the data as text, the tokenizer, and a model from scratch when the recipe wants one."""

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from rlsp_cli.backends.axolotl.checkpoint import checkpoint_step
from rlsp_cli.backends.axolotl.files import StageFiles
from rlsp_cli.backends.local.models import starting_tokenizer, write_new_model
from rlsp_cli.data import Trace, trace_rows, training_rows
from rlsp_cli.engine.lesson import closed_traces, lessons
from rlsp_cli.engine.prompt import encode_prompt
from rlsp_cli.evals.overlap import refuse_overlap
from rlsp_cli.recipe.load import load_recipe
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.rewards.registry import resolve_options
from rlsp_cli.runs.paths import RunPaths
from rlsp_cli.runs.stream import drop_rows_from, write_lines
from rlsp_cli.terminal import print


def setup(inputs: dict[str, Any]) -> None:
    """Write what the configuration names, and drop the metrics that a resumed training will write again."""
    paths = RunPaths(Path(inputs["run"]))
    recipe = load_recipe(paths.resolved, plugins=resolve_options)
    assert recipe.sft and recipe.data.traces, "checked by the recipe"
    files = StageFiles(paths.stage("sft"))
    traces = trace_rows(recipe.data.traces, recipe.plugins)
    refuse_overlap(recipe, "traces", traces)
    if recipe.model.from_scratch is not None:
        write_new_model(recipe, files.base)
    tokenizer = starting_tokenizer(recipe, files.base)
    tokenizer.save_pretrained(files.tokenizer)
    shutil.rmtree(files.prepared, ignore_errors=True)  # Axolotl knows it by the files' names, whatever is in them now
    training, validation = training_rows(closed_traces(traces), recipe.sft.val_rows)
    write_lines(files.train, _rows(training, recipe, tokenizer))
    if validation:
        write_lines(files.val, _rows(validation, recipe, tokenizer))
    _resume(inputs["resume"], files)
    print(f"sft: {len(training)} examples for training, {len(validation)} kept out")


def _rows(traces: Sequence[Trace], recipe: Recipe, tokenizer: PreTrainedTokenizerBase) -> Iterator[str]:
    """Segments of text, of which Axolotl learns those with a label; tokenised each by itself, as our engine does."""
    starts = not tokenizer.chat_template and encode_prompt("x", tokenizer)[:1] == [tokenizer.bos_token_id]
    start = tokenizer.bos_token if starts else ""  # Axolotl adds no special tokens to segments
    for lesson in lessons(traces, recipe.data, tokenizer):
        segments = [
            {"label": False, "text": f"{start}{lesson.prompt}"},
            {"label": True, "text": f"{lesson.response}{''.join(lesson.end)}"},
        ]
        yield json.dumps({"segments": segments}, ensure_ascii=False) + "\n"


def _resume(checkpoint: str | None, files: StageFiles) -> None:
    if checkpoint is None:
        files.stage.metrics.unlink(missing_ok=True)
        return
    step = checkpoint_step(Path(checkpoint))
    drop_rows_from(files.stage.metrics, step)
