"""Whether the training data of a recipe holds problems of its benches."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from rlsp_cli.data import prompt_rows, trace_rows
from rlsp_cli.data.overlap import NGRAM, SHARE, Match, OverlapIndex
from rlsp_cli.errors import DataError, NotReadyError, RlspError
from rlsp_cli.evals.bench import Bench, bench_prompts, load_bench
from rlsp_cli.recipe.problem import Problem
from rlsp_cli.recipe.schema import Recipe, Rows
from rlsp_cli.rewards.registry import Registry
from rlsp_cli.terminal import print

AnyRows = TypeVar("AnyRows", bound=Rows)

_TASK_ROWS = 2000
"""Rows of a procedural task that `rlsp check` looks at, to answer at once; the stage that trains looks at all."""
_HINT = "leave them out with rlsp data traces --decontaminate RECIPE, or set data.allow_overlap: true"


def check_overlap(recipe: Recipe) -> list[Problem]:
    """Overlaps that are seen without the hub; what cannot be read is left to the stage that reads it."""
    if not _must_differ(recipe):
        return []
    registry = Registry()
    index = index_of(_local_benches(recipe, registry))
    return [problem for role, texts in _training_texts(recipe, registry) for problem in _problems(role, texts, index)]


def refuse_overlap(recipe: Recipe, role: str, problems: Sequence[str], registry: Registry) -> None:
    """DataError when the rows of `data.<role>` hold problems of a bench; says which benches it could not read."""
    if not _must_differ(recipe):
        return
    benches = []
    for name in recipe.eval.benches if recipe.eval else ():
        try:
            benches.append(whole_bench(name, recipe, registry))
        except NotReadyError as error:
            print(f"data.{role} is not compared with a bench: {error}", file=sys.stderr)
    found = _problems(role, problems, index_of(benches))
    if found:
        raise DataError("\n".join(map(str, found)))


def whole_bench(name: str, recipe: Recipe, registry: Registry) -> Bench:
    """A bench of the recipe's `eval` with all its problems, whatever `eval.limit` says."""
    assert recipe.eval, "a recipe without eval has no benches"
    settings = recipe.eval.model_copy(update={"limit": None})
    return load_bench(name, settings, recipe.data, registry, recipe.plugins)


def index_of(benches: Sequence[Bench]) -> OverlapIndex:
    """The problems of benches, to look texts up in; of those that a task made only the same text counts."""
    index = OverlapIndex()
    for bench in benches:
        texts = {problem.id: problem.problem for problem in bench.problems}
        index.add(bench.name, texts, wording=not _is_procedural(bench))
    return index


def bench_facts(bench: Bench) -> dict[str, Any]:
    """What texts were compared with, and by which rule."""
    facts = {"name": bench.name, "problems": len(bench.problems), "source": bench.source, "digest": bench.digest}
    return {**facts, "rule": "same text" if _is_procedural(bench) else f"same text or {SHARE:.0%} of its {NGRAM}-grams"}


def _is_procedural(bench: Bench) -> bool:
    """Whether a task made the problems, from templates that all of them share."""
    return bench.source.startswith("task:")


def _must_differ(recipe: Recipe) -> bool:
    return recipe.eval is not None and not recipe.data.allow_overlap


def _local_benches(recipe: Recipe, registry: Registry) -> list[Bench]:
    assert recipe.eval, "a recipe without eval has no benches"
    found = []
    for name in recipe.eval.benches:
        with suppress(RlspError):
            if not bench_prompts(name, recipe.eval, recipe.data).source.startswith("hf:"):
                found.append(whole_bench(name, recipe, registry))
    return found


def _training_texts(recipe: Recipe, registry: Registry) -> Iterator[tuple[str, list[str]]]:
    """(role, problems) of the data that a stage trains on, as far as it can be read without the hub."""
    traces, prompts, files = recipe.data.traces, recipe.data.prompts, recipe.plugins
    if recipe.sft and traces and not traces.source.startswith("hf:"):
        with suppress(RlspError):
            yield "traces", [row.prompt for row in trace_rows(_few(traces), registry, files)]
    if recipe.ppo and prompts and not prompts.source.startswith("hf:"):
        with suppress(RlspError):
            yield "prompts", [row.problem for row in prompt_rows(_few(prompts), registry, files)]


def _few(rows: AnyRows) -> AnyRows:
    """The first rows of a procedural task, and all rows of a file."""
    many = rows.source.startswith("task:") and rows.rows is not None and rows.rows > _TASK_ROWS
    return rows.model_copy(update={"rows": _TASK_ROWS}) if many else rows


def _problems(role: str, texts: Sequence[str], index: OverlapIndex) -> list[Problem]:
    """One problem for each bench that the texts share problems with."""
    found: dict[str, list[tuple[int, Match]]] = {}
    for number, text in enumerate(texts, 1):
        match = index.match(text)
        if match:
            found.setdefault(match.bench, []).append((number, match))
    return [
        Problem(
            f"data.{role}",
            f"data.{role}: {len(hits)} of {len(texts)} problems are in the bench {bench}, such as row {hits[0][0]} "
            f"({hits[0][1].rule}: {hits[0][1].id})",
            _HINT,
        )
        for bench, hits in found.items()
    ]
