"""`rlsp run`, `rlsp sft`, `rlsp ppo`: recipes become runs."""

import inspect
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rlsp_cli.cli.options import Json, Out, Overrides, RecipeArgument, Resume
from rlsp_cli.cli.output import console, print_json
from rlsp_cli.cli.report import print_report
from rlsp_cli.cli.tab_completion import runs
from rlsp_cli.errors import UsageError
from rlsp_cli.runs.paths import RunPaths
from rlsp_cli.terminal import print

if TYPE_CHECKING:
    from rich.console import Console

    from rlsp_cli.launch.workflow import ResumeCommand
    from rlsp_cli.report import Report

Stages = Annotated[
    list[str] | None,
    typer.Option(
        "--stage", metavar="STAGE", help="Only this stage: sft, ppo or eval; may be repeated."
    ),
]
AllowChanges = Annotated[
    bool, typer.Option("--allow-changes", help="Resume although the recipe has changed.")
]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Write the job files and print the commands; start nothing."),
]
From = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="RUN[@STEP]",
        help="Begin from a checkpoint of another run: after a step of PPO, by default its last model.",
        autocompletion=runs,
    ),
]


def run(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    stage: Stages = None,
    out: Out = None,
    from_: From = None,
    resume: Resume = False,
    allow_changes: AllowChanges = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Run all stages of a recipe: SFT, PPO, evaluation, report.

    Example: rlsp run my.yaml ppo.steps=10 --out runs/try

    Example: rlsp run my.yaml --from runs/try@10 ppo.steps=20 ppo.kl_coef=0.1
    """
    from rlsp_cli.launch.fork import find_fork, fitted
    from rlsp_cli.launch.rounds import run_rounds
    from rlsp_cli.launch.start import Start
    from rlsp_cli.launch.workflow import pick_stages, plan_recipe, run_recipe, unfinished
    from rlsp_cli.preflight import inspect_recipe, read_recipe

    loaded, path = read_recipe(recipe, overrides or [])  # recipe.yaml -> Recipe
    fork = None
    if from_ is not None:
        if resume:
            raise UsageError("--from begins a run, and --resume goes on with one; leave out one")
        fork = fitted(find_fork(from_), loaded)
        loaded, path = read_recipe(recipe, [*(overrides or []), *fork.overrides])
    picked = pick_stages(loaded, stage or [])

    # Only what will start is inspected: data of a finished stage may be gone by now.
    # A fork with the trainer's state has its SFT behind it.
    to_start = picked
    if resume:
        to_start = unfinished(loaded, picked, out)
    elif fork is not None and fork.has_state:
        to_start = tuple(stage for stage in picked if stage != "sft")
    for note in inspect_recipe(loaded, path, () if dry_run else to_start, ask_hub=True):
        print(note, file=sys.stderr)

    start = Start(out, resume, allow_changes, source=path, fork=fork)
    if loaded.rounds and (stage or dry_run):
        raise UsageError(
            f"{path}: rounds depend on each other, so they run whole; leave out --stage and "
            "--dry-run, or add rounds=null for round 0 alone"
        )
    if dry_run:
        for command in plan_recipe(loaded, to_start, start):
            print(command)
        return

    screen = console(stderr=True)
    if fork is not None:
        screen.print(fork.words, soft_wrap=True)
    if loaded.rounds:
        report = run_rounds(loaded, start, screen, resume_command)
    else:
        report = run_recipe(loaded, picked, start, screen, resume_command)
    show_report(report, screen, json)


def run_whole(path: Path, out: Path, resume_command: "ResumeCommand") -> None:
    """Run all stages of a recipe file into a new folder, as `rlsp run` does."""
    from rlsp_cli.launch.rounds import run_rounds
    from rlsp_cli.launch.start import Start
    from rlsp_cli.launch.workflow import pick_stages, run_recipe
    from rlsp_cli.preflight import inspect_recipe, read_recipe

    loaded, _ = read_recipe(str(path), [])
    stages = pick_stages(loaded, [])
    for note in inspect_recipe(loaded, path, stages, ask_hub=True):
        print(note, file=sys.stderr)

    start, screen = Start(out, source=path), console(stderr=True)
    if loaded.rounds:
        run_rounds(loaded, start, screen, resume_command)
    else:
        run_recipe(loaded, stages, start, screen, resume_command)


def one_stage(stage: str, help: str) -> Callable[..., None]:
    """`rlsp run --stage STAGE` as a command of its own, with every other option of `rlsp run`."""

    def command(**given: object) -> None:
        run(**given, stage=[stage])  # type: ignore[arg-type]

    # Typer reads the options from the signature.
    signature = inspect.signature(run)
    others = [parameter for name, parameter in signature.parameters.items() if name != "stage"]
    command.__signature__ = signature.replace(parameters=others)  # type: ignore[attr-defined]
    command.__doc__ = help
    return command


sft = one_stage("sft", "Run the SFT stage of a recipe.\n\nExample: rlsp sft my.yaml --out runs/try")
ppo = one_stage(
    "ppo",
    "Run the PPO stage; after `rlsp sft`, in its folder.\n\nExample: rlsp ppo my.yaml --resume",
)


def show_report(report: "Report", screen: "Console", json: bool) -> None:
    """Print a report, and the path of its page."""
    if json:
        print_json("report", report.to_json())
    else:
        print_report(report)
        screen.print(f"report: {RunPaths(Path(report.root)).report_html}", soft_wrap=True)


def resume_command(root: Path) -> str:
    """The command line that was typed, with --out and --resume."""
    # Words that contradict the two are taken out.
    words = [word for word in sys.argv[1:] if word != "--resume"]
    if "--out" in words:
        at = words.index("--out")
        del words[at : at + 2]
    return shlex.join(["rlsp", *words, "--out", str(root), "--resume"])
