"""The rows of every stage: they exist, can be read, and have the columns that the recipe names."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from rlsp_cli.data import Problem, prompt_rows, trace_rows, training_rows
from rlsp_cli.errors import RecipeError, RlspError
from rlsp_cli.evals.benches import Benches
from rlsp_cli.preflight.hub import data_on_hub
from rlsp_cli.recipe.issue import Issue, Note
from rlsp_cli.recipe.schema import Prompts, Recipe, Rows, Traces

AnyRows = TypeVar("AnyRows", bound=Rows)

_TASK_ROWS = 8
"""Rows of a procedural task that are made: all are made by one function."""
_HUB_ROWS = 100


def look_at_data(recipe: Recipe, stages: Sequence[str], ask_hub: bool) -> Iterator[Issue]:
    """A problem for each source that `stages` read and that is not as the recipe says."""
    for role in _roles(recipe, stages):
        yield from _look_at_rows(recipe, role, ask_hub)
    if "eval" in stages and recipe.eval:
        if not recipe.eval.benches:
            yield Issue(
                "eval.benches",
                "eval.benches: nothing to evaluate on",
                "name a bench, or remove `eval`",
            )
        yield from look_at_benches(recipe, ask_hub)
        yield from _load_benches(recipe)
        yield from _look_at_responses(recipe.eval.responses)


def first_row(prompts: Prompts, recipe: Recipe) -> Problem:
    """The first problem of a source."""
    return prompt_rows(_few(prompts), recipe.plugins)[0]


def _roles(recipe: Recipe, stages: Sequence[str]) -> list[str]:
    """The keys of `data` that the stages read; a model from scratch takes its vocabulary from all that it trains on."""
    roles = []
    if "sft" in stages:
        roles.append("traces")
    if "ppo" in stages or ("sft" in stages and recipe.model.from_scratch):
        roles.append("prompts")
    if "eval" in stages and recipe.eval and "heldout" in recipe.eval.benches:
        roles.append("heldout")
    return [role for role in roles if getattr(recipe.data, role)]


def _look_at_rows(recipe: Recipe, role: str, ask_hub: bool) -> Iterator[Issue]:
    rows: Traces | Prompts = getattr(recipe.data, role)

    if rows.on_hub and (
        found := _look_at_hub(f"data.{role}", rows.source, f"data.{role}.source", ask_hub)
    ):
        yield found
        return

    try:
        if isinstance(rows, Traces):
            _read_traces(rows, recipe)
        elif role == "heldout" and recipe.eval and rows.is_file:
            Benches.of(recipe).load(role)  # ids of a bench must differ, too
        else:
            prompt_rows(_few(rows), recipe.plugins)
    except RlspError as error:
        yield Issue(f"data.{role}.source", f"data.{role}: {error}", _hint(rows, str(error), role))


def _read_traces(traces: Traces, recipe: Recipe) -> None:
    found = trace_rows(_few(traces), recipe.plugins)
    if recipe.sft and traces.is_file:
        training_rows(found, recipe.sft.val_rows)


def _few(rows: AnyRows) -> AnyRows:
    """All rows of a file, since any of them may be broken, and the first of what is made or loaded."""
    if rows.is_file:
        return rows

    most = _HUB_ROWS if rows.on_hub else _TASK_ROWS
    return rows.model_copy(update={"rows": min(rows.rows or most, most)})


def _hint(rows: Rows, reason: str, role: str) -> str | None:
    """The next move, where the reason suggests one."""
    path = Path(rows.source)
    if "no column" in reason:
        return f"name it in data.{role}"
    if rows.is_file and not path.suffix and not path.exists():
        return f"a data set on the hub is written hf:{path.parent.name}/{path.name}"
    return None


def _look_at_hub(what: str, source: str, place: str, ask_hub: bool) -> Issue | None:
    """What there is to say of a source on the hub before it is loaded."""
    if not ask_hub:
        return Note(place, f"{what}: {source} is on the hub and was not looked at")
    reason = data_on_hub(source)
    return (
        Issue(place, f"{what}: {source} is not in the cache, and {reason}", "name a file")
        if reason
        else None
    )


def look_at_benches(recipe: Recipe, ask_hub: bool) -> Iterator[Issue]:
    """Benches whose problems come from the hub."""
    assert recipe.eval, "called for recipes with `eval` only"
    for name in (name for name in recipe.eval.benches if name != "heldout"):
        with suppress(RlspError):  # reported where it is loaded
            rows = Benches.of(recipe).prompts(name)
            if rows.on_hub and (
                found := _look_at_hub(f"bench {name}", rows.source, "eval.benches", ask_hub)
            ):
                hint = f"--data FILE, or a folder with {name}.jsonl in eval.data or RLSP_DATA_DIR"
                yield found if isinstance(found, Note) else Issue(found.path, found.message, hint)


def _load_benches(recipe: Recipe) -> Iterator[Issue]:
    """Benches whose problems are on this machine."""
    assert recipe.eval, "called for recipes with `eval` only"
    for name in (name for name in recipe.eval.benches if name != "heldout"):
        try:
            if not Benches.of(recipe).prompts(name).on_hub:
                Benches.of(recipe).load(name)
        except RecipeError:  # reported by the check of benches, with the place in the list
            continue
        except RlspError as error:
            yield Issue(
                "eval.benches", f"bench {name}: {str(error).removeprefix(f'bench {name}: ')}"
            )


def _look_at_responses(responses: str | None) -> Iterator[Issue]:
    if responses not in (None, "gold") and not Path(responses).is_file():
        yield Issue("eval.responses", f"eval.responses: {responses}: no such file")
