"""Whether the training data of a recipe holds problems of its benches: one comparison for every command."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeVar

from rlsp_cli.data import prompt_rows, trace_rows
from rlsp_cli.data.overlap import NGRAM, SHARE, Match, OverlapIndex
from rlsp_cli.errors import DataError, NotReadyError, RlspError
from rlsp_cli.evals.benches import Bench, bench_prompts, load_bench
from rlsp_cli.recipe.issue import Issue
from rlsp_cli.recipe.schema import Recipe, Rows
from rlsp_cli.terminal import print

AnyRows = TypeVar("AnyRows", bound=Rows)

_TASK_ROWS = 2000
"""Rows of a procedural task that `rlsp check` looks at, to answer at once; the stage that trains looks at all."""
_HINT = "leave them out with rlsp data clean FILE --against RECIPE --out CLEAN, or set data.allow_overlap: true"
_SHOWN = 200
"""Letters of a text that are kept."""
_IN_A_LINE = 80
"""Letters of a text in a message."""
_HOW = {
    "exact": "which is the text of",
    f"{NGRAM}-gram": "which has the wording and the numbers of",
    "other numbers": "which has the wording, with other numbers or in another order, of",
    "other answer": "which has the wording and the numbers, with another answer, of",
    "words": "which shares most of the telling words of",
}


class PosedRow(Protocol):
    """A trace or a problem for PPO."""

    @property
    def problem(self) -> str:
        """What is asked."""

    @property
    def answer(self) -> str | None:
        """Its answer, where there is one."""


class Posed(NamedTuple):
    """A problem as training data pose it, with its answer where there is one."""

    place: str
    problem: str
    answer: str | None = None


@dataclass(frozen=True)
class TrainingSet:
    """Problems with their places; `unread` says of rows without one why. `role` is a key of `data`, or `rows`."""

    role: str
    source: str
    problems: Sequence[Posed]
    unread: Sequence[str] = ()


@dataclass(frozen=True)
class Repeat:
    """A row that repeats a problem, or is like it: by which rule, and from where to where in its text."""

    role: str
    place: str
    bench: str
    problem: str
    rule: str
    start: int
    end: int
    text: str
    problem_text: str

    @property
    def certain(self) -> bool:
        """Whether it is a copy, and not only like one."""
        return Match(self.bench, self.problem, self.rule).certain

    def __str__(self) -> str:
        theirs = "" if self.rule == "exact" else f', "{_cut(self.problem_text, _IN_A_LINE)}"'
        return f'{self.place}, "{_cut(self.text, _IN_A_LINE)}", {_HOW[self.rule]} problem {self.problem}{theirs}'


def find_repeats(training: TrainingSet, benches: Sequence[Bench], *, likely: bool = True) -> Iterator[Repeat]:
    """The rows that repeat a problem of a bench, and those that are like one if `likely`, in their order."""
    index = index_of(benches)
    for place, text, answer in training.problems:
        for match in index.matches(text, answer, likely=likely):
            start, end = index.span(text, match)
            shown = _cut(text[start:end], _SHOWN), _cut(index.text(match), _SHOWN)
            yield Repeat(training.role, place, match.bench, match.id, match.rule, start, end, *shown)


def check_overlap(recipe: Recipe) -> list[Issue]:
    """Overlaps that are seen without the hub; what cannot be read is left to the stage that reads it."""
    if not _must_differ(recipe):
        return []
    benches = _local_benches(recipe)
    return [problem for training in _local_sets(recipe) for problem in _problems(training, benches)]


def refuse_overlap(recipe: Recipe, role: str, rows: Sequence[PosedRow]) -> None:
    """DataError when the rows of `data.<role>` hold problems of a bench; says which benches it could not read."""
    if not _must_differ(recipe):
        return
    benches = []
    for name in recipe.eval.benches if recipe.eval else ():
        try:
            benches.append(whole_bench(name, recipe))
        except NotReadyError as error:
            print(f"data.{role} is not compared with a bench: {error}", file=sys.stderr)
    found = list(_problems(TrainingSet(role, role, posed(rows)), benches))
    if found:
        raise DataError("\n".join(map(str, found)))


def posed(rows: Sequence[PosedRow]) -> list[Posed]:
    """The problems of a recipe's rows, with their numbers as places."""
    return [Posed(f"row {number}", row.problem, row.answer) for number, row in enumerate(rows, 1)]


def whole_bench(name: str, recipe: Recipe) -> Bench:
    """A bench of the recipe's `eval` with all its problems, whatever `eval.limit` says.

    What its problems have in common is nobody's own wording, so that a comparison with some of them is another one.
    """
    assert recipe.eval, "a recipe without eval has no benches"
    settings = recipe.eval.model_copy(update={"limit": None})
    return load_bench(name, settings, recipe.data, recipe.plugins)


def index_of(benches: Sequence[Bench]) -> OverlapIndex:
    """The problems of benches, to look texts up in; of those that a task made only the same text counts."""
    index = OverlapIndex()
    for bench in benches:
        texts = {problem.id: problem.problem for problem in bench.problems}
        answers = {problem.id: problem.answer for problem in bench.problems}
        index.add(bench.name, texts, answers, wording=not _is_procedural(bench))
    return index


def bench_facts(bench: Bench) -> dict[str, Any]:
    """What texts were compared with, and by which rule."""
    facts = {"name": bench.name, "problems": len(bench.problems), "source": bench.source, "digest": bench.digest}
    wording = f"same text, or {SHARE:.0%} of its {NGRAM}-grams and its numbers in order"
    return {**facts, "rule": "same text" if _is_procedural(bench) else wording}


def _is_procedural(bench: Bench) -> bool:
    """Whether a task made the problems, from templates that all of them share."""
    return bench.source.startswith("task:")


def _must_differ(recipe: Recipe) -> bool:
    return recipe.eval is not None and not recipe.data.allow_overlap


def _local_benches(recipe: Recipe) -> list[Bench]:
    assert recipe.eval, "a recipe without eval has no benches"
    found = []
    for name in recipe.eval.benches:
        with suppress(RlspError):
            if not bench_prompts(name, recipe.eval, recipe.data).source.startswith("hf:"):
                found.append(whole_bench(name, recipe))
    return found


def _local_sets(recipe: Recipe) -> Iterator[TrainingSet]:
    """The data that a stage trains on, as far as it can be read without the hub."""
    traces, prompts, files = recipe.data.traces, recipe.data.prompts, recipe.plugins
    if recipe.sft and traces and not traces.source.startswith("hf:"):
        with suppress(RlspError):
            yield TrainingSet("traces", traces.source, posed(trace_rows(_few(traces), files)))
    if recipe.ppo and prompts and not prompts.source.startswith("hf:"):
        with suppress(RlspError):
            yield TrainingSet("prompts", prompts.source, posed(prompt_rows(_few(prompts), files)))


def _few(rows: AnyRows) -> AnyRows:
    """The first rows of a procedural task, and all rows of a file."""
    many = rows.source.startswith("task:") and rows.rows is not None and rows.rows > _TASK_ROWS
    return rows.model_copy(update={"rows": _TASK_ROWS}) if many else rows


def _problems(training: TrainingSet, benches: Sequence[Bench]) -> Iterator[Issue]:
    """One problem for each bench that the training data repeat problems of; what is only like one is no problem."""
    repeats = list(find_repeats(training, benches, likely=False))
    for bench in benches:
        found = [repeat for repeat in repeats if repeat.bench == bench.name]
        if found:
            many = f"{len(found)} of {len(training.problems)} problems are in the bench {bench.name}"
            yield Issue(f"data.{training.role}", f"data.{training.role}: {many}, such as {found[0]}", _HINT)


def _cut(text: str, length: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= length else f"{line[:length]} ..."
