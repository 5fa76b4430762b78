"""Recipe -> Run: every stage compiled, started and followed, in order."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from rlsp_cli.backends import STAGES, compile_for, ready_environment, stages_of
from rlsp_cli.errors import NotReadyError, RlspError, StageError, StoppedError, UsageError
from rlsp_cli.launch.gpus import refuse_missing_gpus
from rlsp_cli.launch.process import command_line, launch, prepare
from rlsp_cli.launch.progress import following
from rlsp_cli.launch.signals import stopping_on_signals
from rlsp_cli.launch.worker import call_for_workers
from rlsp_cli.plan import headline
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.runs.lock import locked
from rlsp_cli.runs.run import (
    Run,
    change_recipe,
    changed_keys,
    create_run,
    free_folder,
    newest_run,
    open_run,
    write_manifest,
)


@contextmanager
def starting_run(
    recipe: Recipe, source: Path | None, out: Path | None, resume: bool, allow_changes: bool = False
) -> Iterator[Run]:
    """A new run, or with `resume` the one in `out` (the newest of this name); nobody else writes into it meanwhile.

    The recipe of a run that goes on must be the same. With `allow_changes` it goes on with another one, and its
    manifest keeps what changed, and when. The sections of stages that have not begun may change without it.
    """
    root = open_run(out or newest_run(recipe.name)).paths.root if resume else free_folder(recipe.name, out)
    with locked(root):
        yield _with_recipe(open_run(root), recipe, allow_changes) if resume else create_run(recipe, source, root)


def _with_recipe(run: Run, recipe: Recipe, allow_changes: bool) -> Run:
    """The run as it goes on; UsageError when the recipe is another one and must not be."""
    if not run.paths.manifest.exists():
        write_manifest(run)
    changed = changed_keys(run, recipe)
    held = [line for line in changed if not line.startswith(_waiting(run))]
    if held and not allow_changes:
        raise UsageError(
            f"{run.paths.root}: the recipe is not the one this run was started with; start a new run, undo, "
            "or add --allow-changes:\n  " + "\n  ".join(held)
        )
    return change_recipe(run, recipe, changed) if changed else run


def unfinished(recipe: Recipe, stages: Sequence[str], out: Path | None) -> tuple[str, ...]:
    """The stages that the run in `out`, or the newest of this name, has not done yet."""
    done = open_run(out or newest_run(recipe.name)).status()["stages"]
    return tuple(stage for stage in stages if done.get(stage) != "done")


def run_stages(run: Run, stages: Sequence[str], console: Console, how_to_resume: str) -> None:
    """Run `stages` that are not done yet; status.json tells how far it came, also when it fails.

    All of them are looked at before the first one starts: a later stage should not fail for a missing package after
    an earlier one has trained for hours.
    """
    done = [stage for stage in stages if _is_done(run, stage)]
    waiting = [stage for stage in stages if stage not in done]
    for stage in done:
        console.print(f"{stage}: done before", highlight=False)

    with stopping_on_signals("stopped"):
        for stage in waiting:
            with _recorded(run, stage, how_to_resume):
                ready_environment(run.recipe, stage)
        _run_each(run, waiting, console, how_to_resume)

    whole = all(_is_done(run, stage) for stage in stages_of(run.recipe))
    run.update(state="done" if whole else "planned", stage=None, exit_code=0, message=None)


def _is_done(run: Run, stage: str) -> bool:
    """An evaluation whose results somebody moved away is done once more; its responses are there."""
    return run.status()["stages"].get(stage) == "done" and (stage != "eval" or run.paths.stage(stage).results.exists())


def _run_each(run: Run, stages: Sequence[str], console: Console, how_to_resume: str) -> None:
    """One after the other; a stage that was done when a signal came is done, and the next one does not begin."""
    signals: list[int] = []
    for stage in stages:
        with _recorded(run, stage, how_to_resume):
            if signals:
                raise StoppedError("stopped before it began", signals[0])
            run.update(state="running", stage=stage, exit_code=None, message=None, stages={stage: "running"})
            signals = _run_stage(run, stage, console)
        run.update(stages={stage: "done"})


@contextmanager
def _recorded(run: Run, stage: str, how_to_resume: str) -> Iterator[None]:
    """Keep an error in status.json, and say in it how to go on where that helps."""
    try:
        yield
    except RlspError as error:
        state = "stopped" if isinstance(error, StoppedError) else "failed"
        run.update(state=state, stage=stage, exit_code=error.exit_code, message=str(error), stages={stage: state})

        can_go_on = isinstance(error, StoppedError | NotReadyError)
        raise StageError(stage, error, f"go on with: {how_to_resume}" if can_go_on else None) from error


def plan_stages(run: Run, stages: Sequence[str]) -> list[str]:
    """Write the job files of `stages` and start nothing; returns the commands to run by hand."""
    commands = []
    for stage in stages:
        job = compile_for(run.recipe, stage, run.paths)
        prepare(job, run.paths.stage(stage))
        commands += [command_line(job, argv) for argv in job.by_hand(run.paths.stage(stage).root)]
    return commands


def pick_stages(recipe: Recipe, wanted: Sequence[str]) -> tuple[str, ...]:
    """The stages to run: all that the recipe gives, or the wanted ones among them."""
    given = stages_of(recipe)
    for stage in wanted:
        if stage not in given:
            raise UsageError(
                f"stage {stage!r}: this recipe has {', '.join(given) or 'no stage'}; add a section {stage!r}"
            )
    return tuple(stage for stage in given if not wanted or stage in wanted)


def _waiting(run: Run) -> tuple[str, ...]:
    """The beginnings of the keys of stages that have not begun."""
    begun = [stage for stage in STAGES if (run.paths.stage(stage).root / "attempts").exists()]
    return tuple(f"{stage}{end}" for stage in STAGES if stage not in begun for end in (".", ":"))


def _run_stage(run: Run, stage: str, console: Console) -> list[int]:
    """Run a stage to its end; the signals that came when it was done anyway."""
    job, paths = compile_for(run.recipe, stage, run.paths), run.paths.stage(stage)
    if stage == "ppo" and run.recipe.sft and not run.paths.stage("sft").final.exists():
        raise UsageError(
            "it starts from the sft checkpoint, and this run has none: "
            f"first `rlsp sft RECIPE --out {run.paths.root}`, then `rlsp ppo RECIPE --out {run.paths.root} --resume`"
        )
    refuse_missing_gpus(job, run.recipe.cluster.launcher)
    prepare(job, paths)

    def say(text: str) -> None:
        console.print(f"{stage}: {text}", highlight=False, soft_wrap=True)

    if (planned := headline(run.recipe, stage)) is not None:
        say(planned)
    if job.resumes:
        say(job.resumes)
    call_for_workers(job, run.recipe.cluster, paths, say)
    with following(stage, paths, console) as follower:
        return launch(job, paths, follower.watch, say)
