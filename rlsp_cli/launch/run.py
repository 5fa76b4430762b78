"""Recipe -> Run: every stage compiled, started and followed, in order."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from rlsp_cli.backends import STAGES, compile_for, ready_environment, stages_of
from rlsp_cli.errors import NotReadyError, RlspError, UsageError
from rlsp_cli.launch.gpus import refuse_missing_gpus
from rlsp_cli.launch.process import command_line, launch, prepare
from rlsp_cli.launch.progress import following
from rlsp_cli.launch.worker import call_for_workers
from rlsp_cli.plan import headline
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.runs.run import Run, change_recipe, changed_keys, create_run, newest_run, open_run


def start_run(recipe: Recipe, source: Path | None, out: Path | None, resume: bool, allow_changes: bool = False) -> Run:
    """A new run, or with `resume` the one in `out` (the newest of this name), whose recipe must be the same.

    With `allow_changes` the run goes on with another recipe; its manifest keeps what changed, and when. The sections
    of stages that have not begun may change without it.
    """
    if not resume:
        return create_run(recipe, source, out)
    run = open_run(out or newest_run(recipe.name))
    changed = changed_keys(run, recipe)
    held = [line for line in changed if not line.startswith(_waiting(run))]
    if held and not allow_changes:
        raise UsageError(
            f"{run.paths.root}: the recipe is not the one this run was started with; start a new run, undo, "
            "or add --allow-changes:\n  " + "\n  ".join(held)
        )
    return change_recipe(run, recipe, changed) if changed else run


def run_stages(run: Run, stages: Sequence[str], console: Console, how_to_resume: str) -> None:
    """Run `stages` that are not done yet; status.json tells how far it came, also when it fails.

    All of them are looked at before the first one starts: a later stage should not fail for a missing package after
    an earlier one has trained for hours.
    """
    done = [stage for stage in stages if run.status()["stages"].get(stage) == "done"]
    waiting = [stage for stage in stages if stage not in done]
    for stage in done:
        console.print(f"{stage}: done before", highlight=False)

    for stage in waiting:
        with _recorded(run, stage, how_to_resume):
            ready_environment(run.recipe, stage)

    for stage in waiting:
        run.update(state="running", stage=stage, exit_code=None, message=None, stages={stage: "running"})
        with _recorded(run, stage, how_to_resume):
            _run_stage(run, stage, console)
        run.update(stages={stage: "done"})

    whole = all(run.status()["stages"].get(stage) == "done" for stage in stages_of(run.recipe))
    run.update(state="done" if whole else "planned", stage=None, exit_code=0, message=None)


@contextmanager
def _recorded(run: Run, stage: str, how_to_resume: str) -> Iterator[None]:
    """Keep an error in status.json, and say in it how to go on where that helps."""
    try:
        yield
    except RlspError as error:
        stopped = error.exit_code in (130, 143)
        state = "stopped" if stopped else "failed"
        run.update(state=state, stage=stage, exit_code=error.exit_code, message=str(error), stages={stage: state})
        may_go_on = stopped or error.exit_code == NotReadyError.exit_code
        error.args = (f"{stage}: {error}; go on with: {how_to_resume}" if may_go_on else f"{stage}: {error}",)
        raise


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


def _run_stage(run: Run, stage: str, console: Console) -> None:
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
        launch(job, paths, follower.watch, say)
