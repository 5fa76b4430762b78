"""`rlsp eval`: a model on benches."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rlsp_cli.cli.completion import benches, runs
from rlsp_cli.cli.options import (
    BenchData,
    Json,
    Out,
    Resume,
    comma_separated,
    command_with_keys,
    is_override,
)
from rlsp_cli.cli.output import console
from rlsp_cli.cli.run import resume_command, show_report
from rlsp_cli.errors import NotReadyError, UsageError
from rlsp_cli.terminal import print

if TYPE_CHECKING:
    from rlsp_cli.recipe.schema import Recipe
    from rlsp_cli.recipe.section import Section


def evaluate(
    target: Annotated[
        str | None,
        typer.Argument(
            help="A run, a model folder or a hub id; the newest run if not given.",
            autocompletion=runs,
        ),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY=VALUE", help="Recipe keys: eval.samples=16 seed=1 ..."),
    ] = None,
    bench: Annotated[
        list[str] | None,
        typer.Option(
            help="Names of `rlsp benches list`, heldout or ./file.yaml; commas, or repeated.",
            autocompletion=benches,
        ),
    ] = None,
    data: BenchData = None,
    responses: Annotated[
        Path | None, typer.Option(help="Score this JSON Lines file (id, response) instead.")
    ] = None,
    gold: Annotated[
        bool, typer.Option("--gold", help="Score the reference answers: do they verify?")
    ] = False,
    url: Annotated[
        str | None,
        typer.Option(help="Ask TARGET of this OpenAI-compatible server; key in OPENAI_API_KEY."),
    ] = None,
    steps: Annotated[
        bool, typer.Option("--steps", help="Every model that ppo.export_every kept of a run.")
    ] = False,
    fail_below: Annotated[
        list[str] | None,
        typer.Option(metavar="[BENCH=]SHARE", help="Exit with 6 when the accuracy is below."),
    ] = None,
    out: Out = None,
    resume: Resume = False,
    json: Json = False,
) -> None:
    """Evaluate a model on benches: accuracy, pass@k, maj@k.

    Example: rlsp eval my-model --bench aime24,math500 eval.samples=16 eval.temperature=0.6
    """
    from rlsp_cli.evals.benches import Benches
    from rlsp_cli.evals.fail_below import read_limits, refuse_below
    from rlsp_cli.launch.evaluation import evaluation_recipe
    from rlsp_cli.launch.start import Start
    from rlsp_cli.launch.workflow import run_recipe

    if steps and fail_below:
        raise UsageError("--fail-below is for one model, and --steps has several")

    target, changes = _target_and_changes(target, overrides or [])
    settings = _settings(bench, data, "gold" if gold else responses, url)
    recipe = evaluation_recipe(target, settings, changes, steps=steps)
    assert recipe.eval, "an evaluation's recipe has it"

    _refuse_missing(recipe)
    limits = read_limits(fail_below or [], Benches.of(recipe).names())
    if recipe.model.path and not (steps or recipe.eval.responses):
        print(f"model: {recipe.model.path}", file=sys.stderr)

    screen = console(stderr=True)
    report = run_recipe(recipe, ["eval"], Start(out, resume), screen, resume_command)
    show_report(report, screen, json)
    refuse_below({bench: card.avg for bench, card in report.score_cards.items()}, limits)


def eval_keys() -> "type[Section]":
    """The section of a recipe whose keys are given as `eval.KEY=VALUE`."""
    from rlsp_cli.recipe.schema import Eval

    return Eval


Command = command_with_keys(eval_keys, "eval.")


def _target_and_changes(target: str | None, overrides: list[str]) -> tuple[str | None, list[str]]:
    """The target may be missing, so that the first override stands in its place."""
    if target and is_override(target):
        return None, [target, *overrides]
    return target, overrides


def _settings(
    bench: list[str] | None, data: Path | None, responses: Path | str | None, url: str | None
) -> dict[str, Any]:
    """The keys of `eval` that have an option of their own, where it was given."""
    settings: dict[str, Any] = {}
    if bench:
        settings["benches"] = comma_separated(bench)
    if data:
        settings["data"] = str(data.absolute())
    if responses:
        settings["responses"] = (
            str(responses.absolute()) if isinstance(responses, Path) else responses
        )
    if url:
        settings["url"] = url
    return settings


def _refuse_missing(recipe: "Recipe") -> None:
    """NotReadyError when model or benches cannot be had, before anything is written or waited for."""
    from rlsp_cli.preflight import look_at_benches, look_at_model

    issues = [
        *look_at_model(recipe, ["eval"], ask_hub=True),
        *look_at_benches(recipe, ask_hub=True),
    ]
    if issues:
        raise NotReadyError("; ".join(map(str, issues)))
