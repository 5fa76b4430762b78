"""`rlsp eval`: a model on benches."""

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rlsp_cli.cli.command import command_with_keys
from rlsp_cli.cli.key_completion import key_values
from rlsp_cli.cli.options import (
    BenchData,
    Json,
    Out,
    Resume,
    comma_separated,
    is_override,
)
from rlsp_cli.cli.output import console
from rlsp_cli.cli.run import resume_command, show_report
from rlsp_cli.cli.tab_completion import benches, runs, step_scorers
from rlsp_cli.errors import NotReadyError, UsageError
from rlsp_cli.terminal import print

if TYPE_CHECKING:
    from rlsp_cli.recipe.schema import Recipe
    from rlsp_cli.recipe.section import Section

Target = Annotated[
    str | None,
    typer.Argument(
        help="A run, a model folder or a hub id; by default the newest run.", autocompletion=runs
    ),
]
EvalOverrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="KEY=VALUE",
        help="Recipe keys: eval.samples=16 seed=1.",
        autocompletion=key_values,
    ),
]
BenchNames = Annotated[
    list[str] | None,
    typer.Option(
        "--bench",
        metavar="NAME,...",
        help="Names of `rlsp benches list`, heldout or ./file.yaml; may be repeated.",
        autocompletion=benches,
    ),
]
Responses = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Score the responses of a JSON Lines file (id, response)."),
]
Gold = Annotated[bool, typer.Option("--gold", help="Score the reference answers: do they verify?")]
Url = Annotated[
    str | None,
    typer.Option(
        metavar="URL", help="OpenAI-compatible server that has TARGET; key in OPENAI_API_KEY."
    ),
]
ThinkingSwitch = Annotated[
    str | None,
    typer.Option(
        "--thinking", metavar="on|off", help="Set the switch of the model's chat template."
    ),
]
Steps = Annotated[
    bool, typer.Option("--steps", help="Evaluate every model that ppo.export_every kept.")
]
SweepValues = Annotated[
    list[str] | None,
    typer.Option(
        "--sweep",
        metavar="KEY=VALUE,...",
        help="Evaluate with each value: temperature=0.6,1.0; may be repeated.",
    ),
]
FailBelow = Annotated[
    list[str] | None,
    typer.Option(metavar="[BENCH=]SHARE", help="Exit with 6 if the accuracy is lower."),
]


ScorerName = Annotated[
    str | None,
    typer.Option(
        "--scorer",
        metavar="NAME",
        help="Measure this scorer on a bench for scorers; KEY=VALUE are its options.",
        autocompletion=step_scorers,
    ),
]
ThresholdText = Annotated[
    str,
    typer.Option(
        "--threshold",
        metavar="X|SUBSET",
        help="A step is wrong below X; of a subset: where X is chosen.",
    ),
]


def evaluate(
    target: Target = None,
    overrides: EvalOverrides = None,
    bench: BenchNames = None,
    data: BenchData = None,
    responses: Responses = None,
    gold: Gold = False,
    url: Url = None,
    thinking: ThinkingSwitch = None,
    steps: Steps = False,
    sweep: SweepValues = None,
    fail_below: FailBelow = None,
    scorer: ScorerName = None,
    threshold: ThresholdText = "0.5",
    out: Out = None,
    resume: Resume = False,
    json: Json = False,
) -> None:
    """Evaluate a model on benches: accuracy, pass@k, maj@k.

    With --scorer, measure a scorer instead: no model answers, and TARGET may
    be a recipe with the models and plugins that it needs.

    Example: rlsp eval my-model --bench aime24,math500 eval.samples=16
    """
    from rlsp_cli.evals.benches import Benches
    from rlsp_cli.evals.fail_below import read_limits, refuse_below
    from rlsp_cli.launch.evaluation import evaluation_recipe
    from rlsp_cli.launch.start import Start
    from rlsp_cli.launch.workflow import run_recipe

    if scorer:
        from rlsp_cli.cli.scorer_bench import measure

        names = comma_separated(bench)
        measure(scorer, names, target, overrides or [], data, threshold, out, resume, json)
        return

    if fail_below and (steps or sweep):
        several = "--steps has several" if steps else "--sweep has several settings"
        raise UsageError(f"--fail-below is for one model, and {several}")

    # An evaluation is a run with a recipe of its own, made from the target's.
    target, changes = _target_and_changes(target, overrides or [])
    settings = _settings(bench, data, "gold" if gold else responses, url)
    if thinking:
        settings["thinking"] = thinking
    if sweep:
        settings["sweep"] = _swept(sweep)
    recipe = evaluation_recipe(target, settings, changes, steps=steps)
    assert recipe.eval, "an evaluation's recipe has it"

    _refuse_missing(recipe)
    # Read before hours of decoding, so that a typing error in a limit costs nothing.
    limits = read_limits(fail_below or [], Benches.of(recipe).names())
    if recipe.model.path and not (steps or recipe.eval.responses):
        print(f"model: {recipe.model.path}", file=sys.stderr)

    screen = console(stderr=True)
    report = run_recipe(recipe, ["eval"], Start(out, resume), screen, resume_command)
    show_report(report, screen, json)

    # Last, so that the report is there whatever the exit code is.
    refuse_below({bench: card.avg for bench, card in report.score_cards.items()}, limits)


def _eval_section() -> "type[Section]":
    from rlsp_cli.recipe.eval import Eval

    return Eval


EvalCommand = command_with_keys(_eval_section, "eval.")


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

    # A path is as seen from here, and the recipe goes into the run folder; `gold` is a word.
    if isinstance(responses, Path):
        responses = str(responses.absolute())
    if responses:
        settings["responses"] = responses

    if url:
        settings["url"] = url
    return settings


def _swept(words: list[str]) -> dict[str, Any]:
    """`eval.sweep` of words such as `temperature=0.6,1.0` or `eval.top_p=0.9,1`."""
    from rlsp_cli.recipe.key_values import plain_settings

    found: dict[str, Any] = {}
    for word in words:
        # One option may have several keys: temperature=0.6,1.0,top_p=0.9.
        for one in re.split(r",(?=[a-z_.]+=)", word):
            key, _, values = one.partition("=")
            if not values.strip("[] "):
                raise UsageError(f"--sweep {one}: expected KEY=VALUE,..., as temperature=0.6,1.0")
            key = key.removeprefix("eval.")
            if key in found:
                raise UsageError(
                    f"--sweep {one}: {key} is swept already; give all its values at once"
                )
            found |= plain_settings([f"{key}=[{values.strip('[]')}]"])
    return found


def _refuse_missing(recipe: "Recipe") -> None:
    """NotReadyError for a model or bench that cannot be had, before a run folder is made."""
    from rlsp_cli.preflight import look_at_benches, look_at_model

    issues = list(look_at_model(recipe, ["eval"], ask_hub=True))
    issues += look_at_benches(recipe, ask_hub=True)
    if issues:
        raise NotReadyError("; ".join(map(str, issues)))
