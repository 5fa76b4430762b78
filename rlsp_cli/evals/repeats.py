"""Training rows that repeat problems of a bench: which row, which problem, and where in the text."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rlsp_cli.data import prompt_rows, source_rows, trace_rows
from rlsp_cli.data.convert import Columns, convert, pick_format
from rlsp_cli.errors import DataError, NotReadyError, RlspError
from rlsp_cli.evals.bench import Bench, load_bench
from rlsp_cli.evals.contamination import bench_facts, index_of
from rlsp_cli.recipe.load import find_recipe, load_recipe, shipped_recipes
from rlsp_cli.recipe.schema import Data, Eval, Recipe, Rows
from rlsp_cli.rewards.registry import Registry

_FILES = (".jsonl", ".json", ".csv", ".parquet")
_HUB = re.compile(r"[\w.-]+/[\w.-]+(@[\w.-]+)?")
_SHOWN = 200
"""Letters of a repeat that are kept."""
ROLES = {"traces": "sft", "prompts": "ppo"}
"""What stages train on."""


@dataclass(frozen=True)
class TrainingSet:
    """Problems with their places; `unread` says of rows without one why. `role` is a key of `data`, or `rows`."""

    role: str
    source: str
    problems: Sequence[tuple[str, str]]
    unread: Sequence[str] = ()


@dataclass(frozen=True)
class Repeat:
    """A row that repeats a problem: by which rule, and from where to where in its text."""

    role: str
    place: str
    bench: str
    problem: str
    rule: str
    start: int
    end: int
    text: str


@dataclass(frozen=True)
class Comparison:
    """Training data beside benches."""

    train: str
    sets: Sequence[TrainingSet]
    benches: Sequence[Bench]
    repeats: Sequence[Repeat]
    unread: Sequence[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Plain data; `clean` only when every row could be read, and none repeats a problem."""
        return {
            "train": self.train,
            "clean": not self.repeats and not self.unread,
            "sets": [{"role": one.role, "source": one.source, "rows": len(one.problems)} for one in self.sets],
            "benches": [{**bench_facts(bench), **counts(self.repeats, bench.name)} for bench in self.benches],
            "repeats": [asdict(repeat) for repeat in self.repeats],
            "unread": list(self.unread),
        }


def compare_data(train: str, against: Sequence[str], data: Path | None, columns: Columns) -> Comparison:
    """A file, a hub id or a recipe's training data beside benches.

    NotReadyError names every bench whose data is missing: what was not compared is not clean.
    """
    registry = Registry()
    recipe = load_recipe(find_recipe(train), plugins=registry) if _is_recipe(train) else None
    benches = _benches(against, recipe, data, registry)
    sets = training_sets(recipe, registry) if recipe else [_source_set(train, columns, registry)]
    repeats = [repeat for bench in benches for one in sets for repeat in find_repeats(one, bench)]
    return Comparison(train, sets, benches, repeats, [line for one in sets for line in one.unread])


def training_sets(recipe: Recipe, registry: Registry) -> list[TrainingSet]:
    """What the stages of a recipe train on; DataError where there is nothing."""
    sets = [_role_set(role, recipe, registry) for role in ROLES if getattr(recipe.data, role)]
    if not sets:
        raise DataError(f"recipe {recipe.name!r} has no training data: neither data.traces nor data.prompts")
    return sets


def seen_in_training(
    recipe: Recipe, benches: Sequence[Bench], registry: Registry
) -> dict[str, dict[str, dict[str, Any]]]:
    """Bench -> set that the model was trained on -> how much of the bench it holds, or why that is `unknown`."""
    seen: dict[str, dict[str, dict[str, Any]]] = {bench.name: {} for bench in benches}
    for role in (role for role in ROLES if getattr(recipe.data, role)):
        try:
            one = _role_set(role, recipe, registry)
        except RlspError as error:
            for of_bench in seen.values():
                of_bench[role] = {"unknown": str(error).partition("\n")[0]}
            continue
        for bench in benches:
            seen[bench.name][role] = _share(one, bench)
    return seen


def contamination_notes(seen: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What to say of `seen_in_training`, by bench: what was found, and what could not be looked at."""
    lines = []
    for bench, roles in seen.items():
        for role, found in roles.items():
            if "unknown" in found:
                lines.append(f"{bench}: nobody knows whether data.{role} holds its problems: {found['unknown']}")
            elif found["rows_found"]:
                lines.append(
                    f"{bench} IS CONTAMINATED: {found['problems_found']} of its {found['problems']} problems are in "
                    f"data.{role} ({found['rows_found']} of {found['rows']} rows, such as {found['first']}), which the "
                    "model was trained on; its numbers there prove nothing"
                )
    return lines


def find_repeats(training: TrainingSet, bench: Bench) -> Iterator[Repeat]:
    """The rows that repeat a problem of the bench, in their order."""
    index = index_of([bench])
    for place, text in training.problems:
        if match := index.match(text):
            start, end = index.span(text, match)
            shown = " ".join(text[start:end].split())
            short = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]} ..."
            yield Repeat(training.role, place, bench.name, match.id, match.rule, start, end, short)


def counts(repeats: Sequence[Repeat], bench: str) -> dict[str, int]:
    """How many rows repeat how many of its problems."""
    problems = [repeat.problem for repeat in repeats if repeat.bench == bench]
    return {"rows_found": len(problems), "problems_found": len(set(problems))}


def _share(training: TrainingSet, bench: Bench) -> dict[str, Any]:
    repeats = list(find_repeats(training, bench))
    first = f"{repeats[0].place} ({repeats[0].rule}: {repeats[0].problem})" if repeats else None
    rows, problems = len(training.problems), len(bench.problems)
    return {**counts(repeats, bench.name), "rows": rows, "problems": problems, "first": first}


def _is_recipe(train: str) -> bool:
    """Neither a file of rows nor something on the hub nor a task."""
    if Path(train).suffix in (*_FILES, ".yaml", ".yml"):
        return Path(train).suffix not in _FILES
    if train in shipped_recipes():
        return True
    return not train.startswith(("hf:", "task:")) and not _HUB.fullmatch(train)


def _benches(against: Sequence[str], recipe: Recipe | None, data: Path | None, registry: Registry) -> list[Bench]:
    ours, files = (recipe.data, recipe.plugins) if recipe else (Data(), ())
    where = str(data) if data else recipe.eval.data if recipe and recipe.eval else None
    benches, missing = [], []
    for name in against:
        try:
            benches.append(load_bench(name, Eval(data=where), ours, registry, files))
        except NotReadyError as error:
            missing.append(str(error))
    if missing:
        raise NotReadyError("; ".join(missing))
    return benches


def _role_set(role: str, recipe: Recipe, registry: Registry) -> TrainingSet:
    traces, prompts = recipe.data.traces, recipe.data.prompts
    if role == "traces" and traces:
        texts = [row.prompt for row in trace_rows(traces, registry, recipe.plugins)]
        source = traces.source
    else:
        assert prompts, "who asks has looked"
        texts = [row.problem for row in prompt_rows(prompts, registry, recipe.plugins)]
        source = prompts.source
    return TrainingSet(role, source, [(f"row {number}", text) for number, text in enumerate(texts, 1)])


def _source_set(train: str, columns: Columns, registry: Registry) -> TrainingSet:
    """Rows in any format that `rlsp data traces` knows; those that are not in it are kept as `unread`."""
    source = f"hf:{train}" if _HUB.fullmatch(train) and Path(train).suffix not in _FILES else train
    rows = source_rows(Rows(source=source), registry)
    format = pick_format(rows[0][1], rows[0][0], columns)
    problems, unread = [], []
    for place, row in rows:
        try:
            problems.append((place, convert(row, place, place, format, columns).problem))
        except DataError as error:
            unread.append(str(error))
    return TrainingSet("rows", source, problems, unread)
