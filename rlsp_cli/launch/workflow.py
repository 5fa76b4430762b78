"""The way of a recipe: `recipe.yaml -> Recipe -> Job -> Run -> Report`."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from rlsp_cli.backends import compile_for, ready_environment, stages_of
from rlsp_cli.backends.environment import Environment
from rlsp_cli.data import forget_rows
from rlsp_cli.errors import NotReadyError, RlspError, StageError, StoppedError, UsageError
from rlsp_cli.launch.job import command_line, launch, prepare
from rlsp_cli.launch.signals import stopping_on_signals
from rlsp_cli.launch.start import Start, run_to_resume, starting_run
from rlsp_cli.plan import headline
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.report import Report, write_report
from rlsp_cli.runs.run import Run

ResumeCommand = Callable[[Path], str]
"""The command line that goes on with the run in a folder."""


def run_recipe(
    recipe: Recipe,
    stages: Sequence[str],
    start: Start,
    screen: Console,
    resume_command: ResumeCommand,
) -> Report:
    """The way of a recipe; `preflight.read_recipe` takes its first step, `recipe.yaml -> Recipe`.

    Runs the `stages` that are not done yet, one after the other. StageError when one fails or is
    stopped.
    """
    with starting_run(recipe, start) as run, stopping_on_signals("stopped"):
        screen.print(f"run folder: {run.paths.root}", soft_wrap=True)
        return run_stages(run, stages, screen, resume_command)


def run_stages(
    run: Run, stages: Sequence[str], screen: Console, resume_command: ResumeCommand
) -> Report:
    """Run the `stages` of a run that are not done yet, under its lock; StageError as above."""
    ready = _ready_stages(run, stages, screen, resume_command)
    _print_plan(run.recipe, tuple(ready), screen)
    signals: list[int] = []

    for stage, environment in ready.items():
        # Compiled in its turn: it starts from the model that the stage before it leaves.
        with recorded(run, stage, resume_command, signals):
            job = compile_for(run.recipe, stage, run.paths, environment)  # Recipe -> Job
            signals = launch(job, run, screen)  # Job -> Run

    _record_end(run)
    return write_report(run.paths.root)  # Run -> Report


def plan_recipe(recipe: Recipe, stages: Sequence[str], start: Start) -> list[str]:
    """Write the job files of `stages` and start nothing; returns the commands to run by hand."""
    commands = []
    with starting_run(recipe, start) as run:
        for stage in stages:
            environment = ready_environment(run.recipe, stage)
            job = compile_for(run.recipe, stage, run.paths, environment)
            paths = run.paths.stage(stage)

            prepare(job, paths)
            commands += [command_line(job, argv) for argv in job.by_hand(paths.root)]

    return commands


def pick_stages(recipe: Recipe, wanted: Sequence[str]) -> tuple[str, ...]:
    """The stages to run: all that the recipe gives, or the wanted ones among them."""
    given = stages_of(recipe)
    for stage in wanted:
        if stage not in given:
            known = ", ".join(given) or "no stage"
            raise UsageError(f"stage {stage!r}: this recipe has {known}; add a section {stage!r}")

    # In the recipe's order, whatever the order on the command line.
    return tuple(stage for stage in given if not wanted or stage in wanted)


def unfinished(recipe: Recipe, stages: Sequence[str], out: Path | None) -> tuple[str, ...]:
    """Those of `stages` that the run in `out`, or the newest of this name, has not done yet."""
    done = run_to_resume(recipe, out).status().stages
    return tuple(stage for stage in stages if done.get(stage) != "done")


def _ready_stages(
    run: Run, stages: Sequence[str], screen: Console, resume_command: ResumeCommand
) -> dict[str, Environment]:
    """Those of `stages` that are not done, each with the environment that will run it.

    StageError when an environment cannot run one. Each is examined here, and only here.
    """
    waiting = []
    for stage in stages:
        if _is_done(run, stage):
            screen.print(f"{stage}: done before", highlight=False)
        else:
            waiting.append(stage)

    # All of them before the first one starts: a later stage should not fail for a missing package
    # after an earlier one has trained for hours.
    ready = {}
    for stage in waiting:
        with _recorded_failure(run, stage, resume_command):
            ready[stage] = ready_environment(run.recipe, stage)
    return ready


def _print_plan(recipe: Recipe, stages: Sequence[str], screen: Console) -> None:
    """Show what each stage at scale will do."""
    for stage in stages:
        line = headline(recipe, stage)
        if line is not None:
            screen.print(f"{stage}: {line}", highlight=False, soft_wrap=True)

    # `preflight` has read the data, and the plan was the last that needed it in this process. The
    # stages may take days, in processes of their own.
    forget_rows()


def _is_done(run: Run, stage: str) -> bool:
    is_done = run.status().stages.get(stage) == "done"

    # An evaluation whose results were moved away is done once more, and scores the responses that
    # are still there.
    return is_done and (stage != "eval" or run.paths.stage(stage).results.exists())


@contextmanager
def recorded(
    run: Run, stage: str, resume_command: ResumeCommand, signals: Sequence[int]
) -> Iterator[None]:
    """Keep the state of a stage in status.json.

    StoppedError when `signals` came during the stage before it, which ended all the same.
    """
    with _recorded_failure(run, stage, resume_command):
        if signals:
            raise StoppedError("stopped before it began", signals[0])

        run.update(
            state="running", stage=stage, exit_code=None, message=None, stages={stage: "running"}
        )
        yield

    run.update(stages={stage: "done"})


@contextmanager
def _recorded_failure(run: Run, stage: str, resume_command: ResumeCommand) -> Iterator[None]:
    """Keep an error in status.json, and raise it as a StageError, with a next move if one helps."""
    try:
        yield
    except RlspError as error:
        state = "stopped" if isinstance(error, StoppedError) else "failed"
        run.update(
            state=state,
            stage=stage,
            exit_code=error.exit_code,
            message=str(error),
            stages={stage: state},
        )

        # Other errors come again when nothing is changed, and say themselves what to change.
        can_go_on = isinstance(error, StoppedError | NotReadyError)
        next_move = f"go on with: {resume_command(run.paths.root)}" if can_go_on else None
        raise StageError(stage, error, next_move) from error


def _record_end(run: Run) -> None:
    # `rlsp sft RECIPE` ends with stages of the recipe still to do.
    is_whole = all(_is_done(run, stage) for stage in stages_of(run.recipe))
    run.update(state="done" if is_whole else "planned", stage=None, exit_code=0, message=None)
