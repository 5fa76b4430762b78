"""A check of every stage's rows: they exist, can be read, and have the columns of the recipe."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import TypeVar

from rlsp_cli.data import (
    Mixture,
    Problem,
    preference_rows,
    prompt_rows,
    recipe_problems,
    recipe_traces,
    step_rows,
    trace_rows,
    training_rows,
)
from rlsp_cli.errors import RecipeError, RlspError
from rlsp_cli.evals.benches import Benches
from rlsp_cli.preflight.hub import data_on_hub
from rlsp_cli.recipe.issue import Issue, Note
from rlsp_cli.recipe.rows import PreferenceRows, Prompts, Rows, StepRows, Traces
from rlsp_cli.recipe.schema import Recipe

AnyRows = TypeVar("AnyRows", bound=Rows)

_TASK_ROWS = 8
"""Rows of a procedural task that are read: one function makes them all."""
_HUB_ROWS = 100
"""Rows of a data set on the hub that are read; such a set may have millions."""


def look_at_data(recipe: Recipe, stages: Sequence[str], ask_hub: bool) -> Iterator[Issue]:
    """An issue for each source that `stages` read and that is not as the recipe says."""
    for role in _roles(recipe, stages):
        yield from _look_at_rows(recipe, role, ask_hub)
    if "ppo" in stages:
        yield from _look_at_hints(recipe)

    if "eval" not in stages or recipe.eval is None:
        return

    if not recipe.eval.benches:
        message = "eval.benches: nothing to evaluate on"
        yield Issue("eval.benches", message, "name a bench, or remove `eval`")

    yield from look_at_benches(recipe, ask_hub)
    yield from _load_benches(recipe)
    yield from _look_at_responses(recipe.eval.responses)


def first_row(prompts: Prompts, recipe: Recipe) -> Problem:
    """The first problem of a source."""
    first: Problem = next(iter(prompt_rows(_few(prompts), recipe.plugins)))
    return first


def _roles(recipe: Recipe, stages: Sequence[str]) -> list[str]:
    """The keys of `data` that the stages read."""
    roles: list[str] = []
    if "sft" in stages and recipe.sft:
        roles.append(recipe.sft.role)

    # A model from scratch takes its vocabulary from all that it will train on, before the first
    # stage; rounds sample solutions of them.
    if "ppo" in stages or ("sft" in stages and (recipe.model.from_scratch or recipe.rounds)):
        roles.append("prompts")

    in_eval = "eval" in stages and recipe.eval and "heldout" in recipe.eval.benches
    in_ppo = "ppo" in stages and recipe.ppo and recipe.ppo.eval_every
    if in_eval or in_ppo:
        roles.append("heldout")
    return [role for role in roles if getattr(recipe.data, role)]


def _look_at_rows(recipe: Recipe, role: str, ask_hub: bool) -> Iterator[Issue]:
    found_all = True
    for key, rows in recipe.data.sources(role).items():
        for issue in _look_at_source(recipe, role, key, rows, ask_hub):
            found_all = found_all and isinstance(issue, Note)
            yield issue

    if found_all and len(recipe.data.sources(role)) > 1:
        yield from _look_at_mixture(recipe, role)


def _look_at_hints(recipe: Recipe) -> Iterator[Issue]:
    """An issue if no problem has a hint, where `ppo.hints` asks for some."""
    hints, sources = recipe.ppo and recipe.ppo.hints, recipe.data.prompt_sources
    if not hints or any(rows.on_hub for rows in sources):
        return

    with suppress(RlspError):  # what cannot be read has an issue of its own
        problems = chain.from_iterable(prompt_rows(_few(one), recipe.plugins) for one in sources)
        if not any(hints.shown(one.problem, one.metadata) for one in problems):
            message = f"no problem of data.prompts has a hint in its column {hints.column!r}"
            yield Issue("ppo.hints.column", message, "name the column, or leave out ppo.hints")


def _look_at_mixture(recipe: Recipe, role: str) -> Iterator[Issue]:
    """A note with the rows of each source, or why the sources make no mixture."""
    if any(rows.on_hub for rows in recipe.data.sources(role).values()):
        return

    try:
        mixture = recipe_traces(recipe) if role == "traces" else recipe_problems(recipe)
    except RlspError as error:
        yield Issue(f"data.{role}", str(error))
        return
    if isinstance(mixture, Mixture) and mixture.leaves_out_rows:
        yield Note(f"data.{role}", f"data.{role}: an epoch has {mixture.words()}")


def _look_at_source(
    recipe: Recipe, role: str, key: str, rows: Rows, ask_hub: bool
) -> Iterator[Issue]:
    place = f"{key}.source"
    if rows.on_hub:
        found = _look_at_hub(key, rows.source, place, ask_hub)
        if found:
            yield found
            return

    # What reads them in a stage reads them here, so that nothing is checked in two ways.
    try:
        if isinstance(rows, Traces):
            _read_traces(rows, recipe)
        elif isinstance(rows, StepRows):
            _read_steps(rows, recipe)
        elif isinstance(rows, PreferenceRows):
            _read_pairs(rows, recipe)
        elif role == "heldout" and recipe.eval and rows.is_file:
            Benches.of(recipe).load(role)  # ids of a bench must differ, too
        else:
            _read_all(prompt_rows(_few(rows), recipe.plugins))
    except RlspError as error:
        yield Issue(place, f"{key}: {error}", _hint(rows, str(error), key))


def _read_traces(traces: Traces, recipe: Recipe) -> None:
    found = trace_rows(_few(traces), recipe.plugins)
    _read_all(found)

    # Whether enough rows are left beside those for validation only a whole file shows.
    if recipe.sft and traces.is_file and len(recipe.data.trace_sources) == 1:
        training_rows(len(found), recipe.sft.val_rows)


def _read_steps(steps: StepRows, recipe: Recipe) -> None:
    found = step_rows(_few(steps), recipe.plugins)
    _read_all(found)
    if recipe.sft and steps.is_file:
        training_rows(len(found), recipe.sft.val_rows, "responses")


def _read_pairs(pairs: PreferenceRows, recipe: Recipe) -> None:
    found = preference_rows(_few(pairs), recipe.plugins)
    _read_all(found)
    if recipe.sft and pairs.is_file:
        training_rows(len(found), recipe.sft.val_rows, "pairs")


def _read_all(rows: Iterable[object]) -> None:
    """Meet every row, since any may be broken; a large source is not kept in memory."""
    for _ in rows:
        pass


def _few(rows: AnyRows) -> AnyRows:
    """The source with as many of its rows as are worth reading here."""
    # Any row of a file may be broken.
    if rows.is_file:
        return rows

    most = _HUB_ROWS if rows.on_hub else _TASK_ROWS
    return rows.model_copy(update={"rows": min(rows.rows or most, most)})


def _hint(rows: Rows, reason: str, key: str) -> str | None:
    """The next move, where the reason suggests one."""
    path = Path(rows.source)
    if "no column" in reason:
        return f"name it in {key}"
    if rows.is_file and not path.suffix and not path.exists():
        return f"a data set on the hub is written hf:{path.parent.name}/{path.name}"
    return None


def _look_at_hub(what: str, source: str, place: str, ask_hub: bool) -> Issue | None:
    """Why a source on the hub cannot be loaded, or was not looked at; None when it can."""
    if not ask_hub:
        return Note(place, f"{what}: {source} is on the hub and was not looked at")

    reason = data_on_hub(source)
    if reason is None:
        return None
    return Issue(place, f"{what}: {source} is not in the cache, and {reason}", "name a file")


def look_at_benches(recipe: Recipe, ask_hub: bool) -> Iterator[Issue]:
    """Issues of benches whose problems come from the hub."""
    for name in _named_benches(recipe):
        with suppress(RlspError):  # reported where it is loaded
            rows = Benches.of(recipe).prompts(name)
            if not rows.on_hub:
                continue

            found = _look_at_hub(f"bench {name}", rows.source, "eval.benches", ask_hub)
            if isinstance(found, Note):
                yield found
            elif found:
                hint = f"--data FILE, or a folder with {name}.jsonl in eval.data or RLSP_DATA_DIR"
                yield Issue(found.path, found.message, hint)


def _load_benches(recipe: Recipe) -> Iterator[Issue]:
    """Issues of benches whose problems are on this machine."""
    for name in _named_benches(recipe):
        try:
            if not Benches.of(recipe).prompts(name).on_hub:
                Benches.of(recipe).load(name)
        except RecipeError:  # reported by the check of benches, with the place in the list
            continue
        except RlspError as error:
            # Some of these errors begin with the bench's name already.
            reason = str(error).removeprefix(f"bench {name}: ")
            yield Issue("eval.benches", f"bench {name}: {reason}")


def _named_benches(recipe: Recipe) -> list[str]:
    """The benches of a recipe without `heldout`, whose rows are looked at as data of the recipe."""
    assert recipe.eval, "called for recipes with `eval` only"
    return [name for name in recipe.eval.benches if name != "heldout"]


def _look_at_responses(responses: str | None) -> Iterator[Issue]:
    if responses not in (None, "gold") and not Path(responses).is_file():
        yield Issue("eval.responses", f"eval.responses: {responses}: no such file")
