"""Benches: sets of problems with reference answers, and where they come from."""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rlsp_cli.data import Problem, problems_of, source_rows
from rlsp_cli.errors import DataError, NotReadyError, RecipeError
from rlsp_cli.evals.benches.bench_file import DRAWN, BenchFile, Protocol, RowUse, find_bench
from rlsp_cli.evals.benches.protocol_file import ProtocolFile, Rules, as_they_do, find_protocol
from rlsp_cli.recipe.issue import Issue, OptionsError
from rlsp_cli.recipe.schema import Data, Eval, PluginUse, Prompts, Recipe
from rlsp_cli.rewards.registry import get_plugin, resolve_options

_ENDINGS = (".jsonl", ".json", ".csv", ".parquet")
_SPELLINGS = {
    "problem": ("problem", "question", "prompt"),
    "answer": ("answer", "final_answer", "target"),
    "id": ("id", "unique_id", "task_id", "question_id", "key"),
}
"""What columns are called in files that go around; the case of the letters makes no difference."""


@dataclass(frozen=True)
class Bench:
    """Problems under a name; `source` says where they were read.

    `verifier` is None where the recipe's own decides. `changed` says whether the problems are others than the bench's
    file says, None when it does not know. `prompt_from` is whose template it is: bench, protocol, recipe, or responses
    for responses that were given, of which nobody knows what was asked. `like` is the protocol that was asked for, and
    `differs` what is not as in it.
    """

    name: str
    problems: Sequence[Problem]
    source: str
    template: str = "{problem}"
    system: str | None = None
    prompt_from: str = "recipe"
    verifier: PluginUse | None = None
    protocol: Protocol = field(default_factory=Protocol)
    changed: bool | None = None
    like: str | None = None
    differs: Sequence[str] = ()

    @property
    def digest(self) -> str:
        """SHA-256 of ids, problems and answers: equal digests mean equal benches."""
        rows = [[problem.id, problem.problem, problem.answer] for problem in self.problems]
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()

    @property
    def identity(self) -> dict[str, Any]:
        """What two evaluations must share, beside their prompts, to be compared."""
        verifier = {"use": self.verifier.use, **self.verifier.options} if self.verifier else None
        return {"bench_digest": self.digest, "verifier": verifier}

    def ask(self, problem: str) -> str:
        """The user's turn that puts a problem."""
        return self.template.replace("{problem}", problem)


def load_bench(name: str, settings: Eval, data: Data, files: Sequence[str] = ()) -> Bench:
    """A bench by name or file: `heldout` from the recipe, the others from `eval.data`, RLSP_DATA_DIR or their source.

    DataError when the bench's own source holds other problems than its file says; of data that was given instead,
    `changed` says so.
    """
    if _is_heldout(name, data):
        return _heldout(name, settings, data, files)
    asked, protocol = _as_asked(name, settings)
    file, rules = completed(asked), protocol.rules(asked.name) if protocol else None
    given = _given(file, settings)
    prompts = given or file.prompts
    rows = _rows(file.name, prompts, files)
    if file.row is not None:
        rows = list(_shaped(rows, file.row))
    if given is not None:
        prompts = _spelled(prompts, rows[0][1])
    problems = problems_of(rows, prompts)
    _refuse_twins(prompts, problems)
    own = data.template != Data().template
    return Bench(
        file.name,
        problems[: settings.limit],
        prompts.source,
        template=data.template if own else file.prompt.template,
        system=data.system or (None if own else file.prompt.system),
        prompt_from="recipe" if own else "protocol" if rules and rules.template else "bench",
        verifier=file.verifier,
        protocol=file.protocol.under(settings),
        changed=_changed(file, problems, prompts.source, is_given=given is not None),
        like=protocol.name if protocol else None,
        differs=(*rules.differs, *_departures(rules, settings, data)) if rules else (),
    )


def _as_asked(name: str, settings: Eval) -> tuple[BenchFile, ProtocolFile | None]:
    """The bench's file, as the protocol has it where one is asked for; RecipeError if that says nothing of it."""
    file = find_bench(name)
    if settings.protocol is None:
        return file, None
    protocol = find_protocol(settings.protocol)
    return as_they_do(file, protocol.rules(file.name), protocol.name), protocol


def _departures(rules: Rules, settings: Eval, data: Data) -> Iterator[str]:
    """Where the recipe or the command line says something else than the protocol does."""
    if settings.responses is not None:
        yield "the responses were given: how they were asked for and drawn is not known"
        return
    if data.template != Data().template and (rules.template or rules.system):
        yield "the prompt is the recipe's"
    if data.system and data.system != rules.system:
        yield "the system message is the recipe's"
    for key in DRAWN:
        said, theirs = getattr(settings, key), getattr(rules, key)
        if None not in (said, theirs) and said != theirs:
            yield f"{key} is {said}, theirs {theirs}"


def _heldout(name: str, settings: Eval, data: Data, files: Sequence[str]) -> Bench:
    prompts, drawn = bench_prompts(name, settings, data), Protocol().under(settings)
    problems = problems_of(_rows(name, prompts, files), prompts)
    _refuse_twins(prompts, problems)
    return Bench(name, problems[: settings.limit], prompts.source, data.template, data.system, protocol=drawn)


def bench_prompts(name: str, settings: Eval, data: Data) -> Prompts:
    """Where `load_bench` reads a bench; RecipeError for an unknown name, NotReadyError for a folder without it."""
    if _is_heldout(name, data):
        assert data.heldout, "checked above"
        return data.heldout
    file = find_bench(name)
    return _given(file, settings) or file.prompts


def bench_protocol(name: str, settings: Eval) -> Protocol:
    """How responses are drawn: as `settings` say, else as the bench does."""
    return (Protocol() if name == "heldout" else _as_asked(name, settings)[0].protocol).under(settings)


def bench_names(settings: Eval, data: Data) -> list[str]:
    """What benches are called in results; RecipeError for an unknown one."""
    return [name if _is_heldout(name, data) else find_bench(name).name for name in settings.benches]


def check_benches(recipe: Recipe) -> Iterator[Issue]:
    """What is wrong with the benches that a recipe names; their data is not read."""
    if recipe.eval is None:
        return
    known: list[str] = []
    try:
        _ = recipe.eval.protocol and find_protocol(recipe.eval.protocol)
    except RecipeError as error:
        yield from (Issue("eval.protocol", line) for line in str(error).splitlines())
        return
    for number, name in enumerate(recipe.eval.benches):
        try:
            file = None if _is_heldout(name, recipe.data) else completed(_as_asked(name, recipe.eval)[0])
        except RecipeError as error:
            yield from (Issue(f"eval.benches.{number}", line) for line in str(error).splitlines())
            continue
        known.append(file.name if file else name)
        yield from _undrawable(recipe.eval, known[-1], (file.protocol if file else Protocol()).under(recipe.eval))
        if known.count(known[-1]) == 2:
            message = f"two benches are called {known[-1]!r}, and results are told apart by name"
            yield Issue(f"eval.benches.{number}", message, "leave one out, or give its file another name")
    others = [name for name in known if name != "heldout"]
    if recipe.eval.data and Path(recipe.eval.data).is_file() and len(others) > 1:
        message = f"the file {recipe.eval.data} cannot hold the problems of {' and '.join(others)}"
        yield Issue("eval.data", message, "name a folder with a file for each, or one bench")


def _undrawable(settings: Eval, bench: str, drawn: Protocol) -> Iterator[Issue]:
    """pass@k and maj@k are of k responses, and some response there must be; of given ones neither is known yet."""
    if not drawn.samples and not drawn.greedy and settings.responses is None:
        message = f"nothing to decode for {bench}: no samples, and no greedy response"
        yield Issue("eval.samples", message, "draw some by eval.samples=4, or set eval.greedy=true")
    if settings.k and settings.responses is None and max(settings.k) > drawn.samples:
        message = f"pass@{max(settings.k)} cannot be told from {drawn.samples} samples of {bench}"
        yield Issue("eval.k", message, f"draw more by eval.samples={max(settings.k)}, or ask for a smaller k")


def completed(file: BenchFile) -> BenchFile:
    """The same bench with all options of its plugins; RecipeError for a plugin or an option that does not exist."""
    verifier, row, options = file.verifier, file.row, file.options
    try:
        verifier = verifier.model_copy(update=resolve_options("verifier", verifier.use, verifier.options, ()))
        if row is not None:
            row = row.model_copy(update=resolve_options("row_shape", row.use, row.options, ()))
        if file.source.startswith("task:"):
            options = resolve_options("task", file.source.removeprefix("task:"), options, ())
    except OptionsError as error:
        raise RecipeError(f"bench {file.name}: {error}") from error
    return file.model_copy(update={"verifier": verifier, "row": row, "options": options})


def _is_heldout(name: str, data: Data) -> bool:
    return name == "heldout" and data.heldout is not None


def content_digest(problems: Iterable[Problem]) -> str:
    """SHA-256 of problems and answers, whatever their order and ids: exports of one bench differ in these."""
    rows = sorted([problem.problem, problem.answer] for problem in problems)
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def _rows(name: str, prompts: Prompts, files: Sequence[str]) -> list[tuple[str, dict[str, Any]]]:
    try:
        return source_rows(prompts, files)
    except NotReadyError as error:
        raise NotReadyError(
            f"bench {name}: {error} (--data FILE, or a folder with {name}.jsonl in RLSP_DATA_DIR)"
        ) from error


def _shaped(rows: Iterable[tuple[str, dict[str, Any]]], use: RowUse) -> Iterator[tuple[str, dict[str, Any]]]:
    """Rows as `problem` and `answer`; those that have both already are left as they are."""
    plugin = get_plugin("row_shape", use.use)
    options = plugin.options.model_validate(use.options).model_dump()
    for place, row in rows:
        if {"problem", "answer"} <= row.keys():
            yield place, row
            continue
        try:
            yield place, plugin.function(row, **options)
        except (LookupError, TypeError, ValueError, AttributeError, SyntaxError) as error:
            columns = ", ".join(map(str, row))
            raise DataError(
                f"{place}: {use.use} makes no problem of this row: {type(error).__name__}: {error}; columns: {columns}"
            ) from error


def _spelled(prompts: Prompts, row: Mapping[str, Any]) -> Prompts:
    """The same rows, by the columns that are there: a usual spelling stands in for a column that is missing."""
    lower = {str(column).lower(): column for column in row}
    found = {
        role: next((lower[word] for word in words if word in lower), None)
        for role, words in _SPELLINGS.items()
        if getattr(prompts, role) not in row
    }
    return prompts.model_copy(update={role: column for role, column in found.items() if column is not None})


def _changed(file: BenchFile, problems: Sequence[Problem], source: str, *, is_given: bool) -> bool | None:
    """Whether these are other problems than the file says; DataError when they come from its own source."""
    known = {file.sha256, file.file_sha256 if is_given else None} - {None}
    digest, many = content_digest(problems), len(problems) != file.problems
    changed = digest not in known if known else True if many else None
    if changed and not is_given:
        raise DataError(
            f"bench {file.name}: {source} is not what the bench's file says: {len(problems)} problems with SHA-256 "
            f"{digest}, expected {file.problems} with {file.sha256 or 'any'}; numbers would not compare with others'"
        )
    return changed


def _refuse_twins(prompts: Prompts, problems: Sequence[Problem]) -> None:
    """Responses are kept by problem id, so two problems of one id would be counted as one."""
    counts = Counter(problem.id for problem in problems)
    twins = [id for id, n in counts.items() if n > 1]
    if twins:
        raise DataError(
            f"{prompts.source}: {counts[twins[0]]} problems have the id {twins[0]!r} (column {prompts.id!r}), and "
            f"{len(twins) - 1} more ids are shared; ids must differ"
        )


def _given(file: BenchFile, settings: Eval) -> Prompts | None:
    """The bench in a file that was named, or in a folder where it lies; a folder that was named must have it."""
    if settings.data is not None and Path(settings.data).is_file():
        return Prompts(source=settings.data, **file.columns.model_dump())
    must = not file.source.startswith("task:")
    for folder, needed in ((settings.data, must), (os.environ.get("RLSP_DATA_DIR"), False)):
        if folder is None:
            continue
        found = [path for ending in _ENDINGS if (path := Path(folder) / f"{file.name}{ending}").is_file()]
        if found:
            return Prompts(source=str(found[0]), **file.columns.model_dump())
        if needed:
            missing = Path(folder) / f"{file.name}.jsonl"
            raise NotReadyError(f"bench {file.name}: {missing} does not exist; name the file itself by --data FILE")
    return None
