"""Training rows that repeat problems of a bench: which row, which problem, and where in the text."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rlsp_cli.data import prompt_rows, source_rows, trace_rows
from rlsp_cli.data.convert import Columns, Row, convert, pick_format
from rlsp_cli.data.overlap import CANNOT_FIND
from rlsp_cli.data.rows import HUB_ID
from rlsp_cli.errors import DataError, RlspError
from rlsp_cli.evals.benches import Bench
from rlsp_cli.evals.contamination import Posed, Repeat, TrainingSet, bench_facts, find_repeats, posed, whole_bench
from rlsp_cli.evals.opponents import benches_against
from rlsp_cli.recipe.load import find_recipe, load_recipe, shipped_recipes
from rlsp_cli.recipe.schema import Recipe, Rows
from rlsp_cli.rewards.registry import resolve_options

_FILES = (".jsonl", ".json", ".csv", ".parquet")
ROLES = {"traces": "sft", "prompts": "ppo"}
"""What stages train on."""


@dataclass(frozen=True)
class Comparison:
    """Training data beside benches: the rows that repeat a problem, and those that are only like one."""

    train: str
    sets: Sequence[TrainingSet]
    benches: Sequence[Bench]
    repeats: Sequence[Repeat]
    likely: Sequence[Repeat]
    unread: Sequence[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Plain data; `clean` when every row could be read and none repeats a problem, as far as the rules can tell."""
        return {
            "train": self.train,
            "clean": not self.repeats and not self.unread,
            "cannot_find": CANNOT_FIND,
            "sets": [{"role": one.role, "source": one.source, "rows": len(one.problems)} for one in self.sets],
            "benches": [{**bench_facts(bench), **self.counts(bench)} for bench in self.benches],
            "repeats": [asdict(repeat) for repeat in self.repeats],
            "likely": [asdict(repeat) for repeat in self.likely],
            "unread": list(self.unread),
        }

    def counts(self, bench: Bench) -> dict[str, int]:
        """How many rows repeat how many problems of a bench, and how many are like one."""
        return counts([*self.repeats, *self.likely], bench.name)


def compare_data(train: str, against: Sequence[str], data: Path | None, columns: Columns) -> Comparison:
    """A file, a hub id or a recipe's training data beside benches.

    NotReadyError names every bench whose data is missing: what was not compared is not clean.
    """
    recipe = load_recipe(find_recipe(train), plugins=resolve_options) if _is_recipe(train) else None
    benches = benches_against(against, recipe, data)
    sets = training_sets(recipe) if recipe else [_source_set(train, columns)]
    found = [repeat for one in sets for repeat in find_repeats(one, benches)]
    repeats, likely = ([repeat for repeat in found if repeat.certain is sure] for sure in (True, False))
    return Comparison(train, sets, benches, repeats, likely, [line for one in sets for line in one.unread])


def training_sets(recipe: Recipe) -> list[TrainingSet]:
    """What the stages of a recipe train on; DataError where there is nothing."""
    sets = [_role_set(role, recipe) for role in ROLES if getattr(recipe.data, role)]
    if not sets:
        raise DataError(f"recipe {recipe.name!r} has no training data: neither data.traces nor data.prompts")
    return sets


def seen_in_training(recipe: Recipe, benches: Sequence[Bench]) -> dict[str, dict[str, dict[str, Any]]]:
    """Bench -> set that the model was trained on -> how much of the bench it holds, or why that is `unknown`.

    Where `eval.limit` cuts a bench, rows are compared with the whole, and the problems counted that were asked.
    """
    whole = _whole(recipe, benches)
    seen: dict[str, dict[str, dict[str, Any]]] = {bench.name: {} for bench in benches}
    for role in (role for role in ROLES if getattr(recipe.data, role)):
        try:
            one = _role_set(role, recipe)
        except RlspError as error:
            for of_bench in seen.values():
                of_bench[role] = {"unknown": str(error).partition("\n")[0]}
            continue
        repeats = list(find_repeats(one, whole))
        for bench in benches:
            seen[bench.name][role] = _share(one, bench, repeats)
    return seen


def contamination_notes(seen: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What to say of `seen_in_training`, by bench: what was found, and what could not be looked at."""
    lines = []
    for bench, roles in seen.items():
        for role, found in roles.items():
            if "unknown" in found:
                lines.append(f"{bench}: nobody knows whether data.{role} holds its problems: {found['unknown']}")
                continue
            many, asked = found["problems_found"], found["problems"]
            if many:
                lines.append(
                    f"{bench} IS CONTAMINATED: {many} of its {asked} problems are in data.{role} "
                    f"({found['rows_found']} of {found['rows']} rows, such as {found['first']}), which the model was "
                    f"trained on; up to {100 * many / asked:.1f} points of its accuracy there may be memory"
                )
            if found.get("likely_problems"):
                lines.append(
                    f"{bench}: {found['likely_problems']} of its {asked} problems are like rows of data.{role}, and "
                    f"may be copies in other words ({found['likely_rows']} rows, such as {found['likely_first']})"
                )
    return lines


def counts(repeats: Sequence[Repeat], bench: str) -> dict[str, int]:
    """How many rows repeat how many of its problems, and how many are like one that none repeats."""
    ours = [repeat for repeat in repeats if repeat.bench == bench]
    copied = [repeat.problem for repeat in ours if repeat.certain]
    likely = [repeat.problem for repeat in ours if not repeat.certain]
    found = {"rows_found": len(copied), "problems_found": len(set(copied))}
    return {**found, "likely_rows": len(likely), "likely_problems": len({*likely} - {*copied})}


def _whole(recipe: Recipe, benches: Sequence[Bench]) -> Sequence[Bench]:
    if recipe.eval is None or recipe.eval.limit is None:
        return benches
    return [whole_bench(name, recipe) for name in recipe.eval.benches]


def _share(training: TrainingSet, bench: Bench, repeats: Sequence[Repeat]) -> dict[str, Any]:
    asked = {problem.id for problem in bench.problems}
    ours = [repeat for repeat in repeats if repeat.bench == bench.name and repeat.problem in asked]
    return {
        **counts(ours, bench.name),
        "rows": len(training.problems),
        "problems": len(asked),
        "first": next((str(repeat) for repeat in ours if repeat.certain), None),
        "likely_first": next((str(repeat) for repeat in ours if not repeat.certain), None),
    }


def _is_recipe(train: str) -> bool:
    """Neither a file of rows nor something on the hub nor a task."""
    if Path(train).suffix in (*_FILES, ".yaml", ".yml"):
        return Path(train).suffix not in _FILES
    if train in shipped_recipes():
        return True
    return not train.startswith(("hf:", "task:")) and not HUB_ID.fullmatch(train)


def _role_set(role: str, recipe: Recipe) -> TrainingSet:
    traces, prompts = recipe.data.traces, recipe.data.prompts
    if role == "traces" and traces:
        return TrainingSet(role, traces.source, posed(trace_rows(traces, recipe.plugins)))
    assert prompts, "who asks has looked"
    return TrainingSet(role, prompts.source, posed(prompt_rows(prompts, recipe.plugins)))


def _source_set(train: str, columns: Columns) -> TrainingSet:
    """Rows in any format that `rlsp data traces` knows; those that are not in it are kept as `unread`."""
    source = row_source(train)
    rows = source_rows(Rows(source=source))
    format = pick_format(rows[0][1], rows[0][0], columns)
    problems, unread = [], []
    for place, row in rows:
        try:
            problems.append(posed_row(row, place, format, columns))
        except DataError as error:
            unread.append(str(error))
    return TrainingSet("rows", source, problems, unread)


def row_source(name: str) -> str:
    """A source of rows as a recipe names it: what looks like an id on the hub, and is no file, is on the hub."""
    is_hub = HUB_ID.fullmatch(name) and Path(name).suffix not in _FILES and not Path(name).exists()
    return f"hf:{name}" if is_hub else name


def posed_row(row: Row, place: str, format: str, columns: Columns) -> Posed:
    """The problem of a row in this format; DataError says what the row lacks."""
    made = convert(row, place, place, format, columns)
    return Posed(place, made.problem, made.answer)
