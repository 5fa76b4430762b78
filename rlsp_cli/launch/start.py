"""Where a run begins: in a new folder, or in the folder of a run to resume."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rlsp_cli.backends import STAGES
from rlsp_cli.errors import UsageError
from rlsp_cli.launch.fork import Fork
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


@dataclass(frozen=True)
class Start:
    """What the command line says about a run's folder.

    `out` is the folder; None means runs/NAME/TIME, or with `resume` the newest run of the recipe's
    name. `source` is the recipe file, of which the run keeps a copy. `fork` is the checkpoint of
    another run that a new one begins from.
    """

    out: Path | None = None
    resume: bool = False
    allow_changes: bool = False
    source: Path | None = None
    fork: Fork | None = None


@contextmanager
def starting_run(recipe: Recipe, start: Start) -> Iterator[Run]:
    """The run of a recipe, into which no other process writes while the block runs.

    A resumed run needs the recipe that it was started with; only the sections of stages that have
    not begun may differ. With `allow_changes` it goes on with another recipe, and its manifest
    records what changed, and when.
    """
    if start.resume:
        root = run_to_resume(recipe, start.out).paths.root
        with locked(root):
            # Read under the lock: until we have it, another process may still change the run.
            yield _with_recipe(open_run(root), recipe, start.allow_changes)
    else:
        root = free_folder(recipe.name, start.out)
        with locked(root):
            run = create_run(recipe, start.source, root)
            if start.fork is not None:
                start.fork.place(run)
            yield run


def run_to_resume(recipe: Recipe, out: Path | None) -> Run:
    """The run in `out`, or else the newest of the recipe's name."""
    return open_run(out or newest_run(recipe.name))


def _with_recipe(run: Run, recipe: Recipe, allow_changes: bool) -> Run:
    """The run with the recipe; UsageError when the recipe differs where it must not."""
    if not run.paths.manifest.exists():
        write_manifest(run)

    changed = changed_keys(run, recipe)
    fixed = [line for line in changed if not line.startswith(_free_to_change(run))]
    if fixed and not allow_changes:
        raise UsageError(
            f"{run.paths.root}: the recipe is not the one this run was started with; "
            "start a new run, undo the change, or add --allow-changes:\n  " + "\n  ".join(fixed)
        )

    return change_recipe(run, recipe, changed) if changed else run


def _free_to_change(run: Run) -> tuple[str, ...]:
    """How the lines of changed keys begin that belong to stages that have not begun."""
    beginnings = []
    for stage in STAGES:
        if not (run.paths.stage(stage).root / "attempts").exists():
            # A key in the section, or the section itself when one recipe lacks it.
            beginnings += [f"{stage}.", f"{stage}:"]
    return tuple(beginnings)
