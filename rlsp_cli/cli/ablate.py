"""`rlsp ablate`: a recipe under several values of its keys, from several seeds."""

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rlsp_cli.cli.key_completion import key_values
from rlsp_cli.cli.options import Json, Overrides, RecipeArgument
from rlsp_cli.cli.output import print_json, print_table
from rlsp_cli.cli.run import resume_command
from rlsp_cli.errors import JobError, StoppedError
from rlsp_cli.terminal import print

if TYPE_CHECKING:
    from rlsp_cli.ablate.design import Design
    from rlsp_cli.ablate.report import AblationReport

_PLAN = ("setting", "SFT", "tokens of a run, at most", "training of a run, an estimate")
_MINUTES = 60

Over = Annotated[
    list[str],
    typer.Option(
        metavar="KEY=VALUE,VALUE",
        autocompletion=key_values,
        help="A key and its values; several --over make a grid of all combinations.",
    ),
]
Seeds = Annotated[int, typer.Option(min=1, help="Runs of each setting, from the recipe's seed on.")]
Parallel = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="N", help="Runs at a time: here 1 by default, on Slurm as many as it starts."
    ),
]
Out = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="Folder; by default runs/ablate-NAME/TIME.")
]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Go on in --out, or in the newest ablation; also with more seeds or values.",
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Print the runs and their cost; start nothing.")
]


def ablate(
    recipe: RecipeArgument,
    over: Over,
    overrides: Overrides = None,
    seeds: Seeds = 5,
    parallel: Parallel = None,
    out: Out = None,
    resume: Resume = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Compare settings of a recipe, trained from the same seeds.

    Example: rlsp ablate quickstart --over reward.alpha=0.8,1.0 --seeds 5
    """
    from rlsp_cli.ablate.ablation import Ablation, new_paths, paths_to_resume
    from rlsp_cli.ablate.design import check_arms, read_design
    from rlsp_cli.ablate.workflow import run_ablation, tasks_runner

    design = read_design(recipe, overrides or [], over, seeds)
    name = design.recipe.name
    found = paths_to_resume(name, out) if resume else None
    if dry_run:
        _show_plan(design, json)
        return

    for note in check_arms(design, found):
        _say(note)

    ablation = Ablation(found or new_paths(name, out), design)
    _say(f"ablation folder: {ablation.paths.root}")
    again = resume_command(ablation.paths.root)
    try:
        report = run_ablation(ablation, tasks_runner(ablation, parallel, _say))
    except StoppedError as error:
        raise StoppedError(f"{error}; go on with: {again}", error.signal) from error

    _show_report(report, json)
    if report.unfinished:
        missing = f"{len(report.unfinished)} of {len(ablation.runs)} runs are not done"
        raise JobError(f"{missing}; go on with: {again}")


def _show_report(report: "AblationReport", json: bool) -> None:
    if json:
        print_json("ablate", report.to_json())
        return

    table = report.table
    print_table(table.columns, table.rows, table.title, table.keys)
    for line in (*report.reasons, *report.notes, *report.outcome):
        print(line)
    _say(f"report: {report.root}/report.html")


def _show_plan(design: "Design", json: bool) -> None:
    from rlsp_cli.ablate.cost import plan_cost
    from rlsp_cli.plan import calibrate

    plan = plan_cost(design, partial(calibrate, say=_say))
    if json:
        print_json("ablate-plan", plan.to_json())
        return

    rows = [
        (arm.arm, arm.sft, arm.tokens and f"{arm.tokens:,}", _time(arm.hours)) for arm in plan.arms
    ]
    print_table(_PLAN, rows)
    print(f"baseline: {design.baseline}")
    seeds = ", ".join(map(str, design.seeds))
    whole = f"{plan.tokens:,} tokens at most" if plan.tokens else "tokens unknown"
    hours = f"{_time(plan.hours)} of training" if plan.hours else "time unknown"
    print(f"{plan.runs} runs, seeds {seeds}: {whole}, {hours}")


def _time(hours: tuple[float, float] | None) -> str | None:
    """`12.0 to 34.5 min`, or hours from one on."""
    if hours is None:
        return None
    factor, unit = (1, "h") if hours[1] >= 1 else (_MINUTES, "min")
    return f"{factor * hours[0]:.1f} to {factor * hours[1]:.1f} {unit}"


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
