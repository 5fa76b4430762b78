"""A Run: a folder with everything needed to redo it by hand."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlsp_cli.errors import DataError, UsageError
from rlsp_cli.recipe.dump import dump_recipe
from rlsp_cli.recipe.load import load_recipe
from rlsp_cli.recipe.merge import recipe_files
from rlsp_cli.recipe.origin import flat
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.rewards.registry import resolve_options
from rlsp_cli.runs.clock import now
from rlsp_cli.runs.lock import LOCK
from rlsp_cli.runs.manifest import manifest
from rlsp_cli.runs.paths import RunPaths
from rlsp_cli.runs.rounds import read_rounds
from rlsp_cli.runs.shapes import Manifest, Status
from rlsp_cli.runs.stream import read_json, write_json, write_text

RUNS = Path("runs")
_UNKNOWN = Status(state="unknown", stages={})


@dataclass(frozen=True)
class Run:
    """A run folder and its recipe."""

    paths: RunPaths
    recipe: Recipe

    def status(self) -> Status:
        """The document status.json; without it nothing is known to be done."""
        if not self.paths.status.exists():
            return _UNKNOWN
        return Status.model_validate(read_json(self.paths.status, Status))

    @property
    def last_model(self) -> str | None:
        """The model of the chosen round, or of the last stage that has one, or the first model."""
        rounds = read_rounds(self.paths.root)
        if rounds is not None:
            return rounds.model(self.paths.root)

        for stage in ("ppo", "sft"):
            final = self.paths.stage(stage).final
            if final.exists():
                return str(final)
        return self.recipe.model.path

    def update(self, **changes: Any) -> None:
        """Change fields of status.json; `stages` is merged."""
        status = self.status().model_dump()
        stages = {**status["stages"], **changes.pop("stages", {})}
        write_json(self.paths.status, {**status, **changes, "stages": stages, "updated": now()})


def free_folder(name: str, out: Path | None) -> Path:
    """The folder of a new run: `out`, or a new runs/NAME/TIME; UsageError when it is used."""
    root = (out or _new_folder(RUNS / name / f"{datetime.datetime.now():%Y%m%d-%H%M%S}")).absolute()
    _refuse_used(root)
    return root


def create_run(recipe: Recipe, source: Path | None, root: Path) -> Run:
    """Write a new run into a folder: recipe, resolved recipe, manifest and status.

    UsageError when the folder is used.
    """
    # Asked again, under the lock: another process may have started a run here meanwhile.
    _refuse_used(root)
    return write_run(recipe, source, root)


def write_run(recipe: Recipe, source: Path | None, root: Path) -> Run:
    """Write what a new run has into a folder of ours, whatever lies there already."""
    root.mkdir(parents=True, exist_ok=True)
    run, resolved = Run(RunPaths(root), recipe), dump_recipe(recipe)
    write_text(run.paths.recipe, source.read_text(encoding="utf-8") if source else resolved)
    for number, file in enumerate(recipe_files(source.absolute())[1:] if source else (), 1):
        text = file.read_text(encoding="utf-8")
        write_text(run.paths.extended / f"{number}-{file.name}", text)

    write_text(run.paths.resolved, resolved)
    write_manifest(run)
    run.update(state="planned", stage=None, exit_code=None, message=None)
    return run


def write_manifest(run: Run) -> None:
    """Write the manifest as things are now."""
    write_json(run.paths.manifest, manifest(run.recipe, run.paths.root.name))


def open_run(root: Path) -> Run:
    """An existing run, with the recipe that it was started with."""
    paths = RunPaths(root.absolute())
    if not paths.resolved.exists():
        raise UsageError(
            f"{root}: not a run folder (no resolved.yaml); `rlsp runs list` shows the runs"
        )
    return Run(paths, load_recipe(paths.resolved, plugins=resolve_options))


def newest_run(name: str | None = None) -> Path:
    """The run of this name (of any name) that was created last, in ./runs."""
    found = [path.parent for path in RUNS.glob(f"{name or '*'}/*/manifest.json")]
    if not found:
        hint = "name one with --out" if name else "name a run, a model folder or a hub id"
        raise UsageError(f"{RUNS}/{name or ''}: no run here; {hint}")
    return max(found, key=_created)


def changed_keys(run: Run, recipe: Recipe) -> list[str]:
    """Lines `key: was -> is` for everything in which `recipe` differs from the run's own."""
    before, after = flat(run.recipe.model_dump(mode="json")), flat(recipe.model_dump(mode="json"))

    lines = []
    for key in {**before, **after}:
        # A description changes nothing that a run does.
        if key != "description" and before.get(key) != after.get(key):
            lines.append(f"{key}: {before.get(key)!r} -> {after.get(key)!r}")
    return lines


def change_recipe(run: Run, recipe: Recipe, changed: Sequence[str]) -> Run:
    """The run with another recipe from now on; its manifest records what changed, and when."""
    known = read_json(run.paths.manifest, Manifest)
    known["changes"] = [*known.get("changes", []), {"at": now(), "keys": list(changed)}]
    known["recipe_digest"] = recipe.digest

    # The record first: when a crash comes between the two, the same change is asked for once more.
    write_json(run.paths.manifest, known)
    write_text(run.paths.resolved, dump_recipe(recipe))
    return Run(run.paths, recipe)


def _created(root: Path) -> str:
    """When a run was created, by its manifest."""
    try:
        return str(read_json(root / "manifest.json", Manifest)["created"])
    except DataError:
        return ""  # a damaged one must not keep the others from being found


def _refuse_used(root: Path) -> None:
    # Its own lock is there before anything else.
    if root.exists() and (not root.is_dir() or any(file.name != LOCK for file in root.iterdir())):
        raise UsageError(
            f"{root}: this folder is used; "
            "choose another --out, or add --resume to go on with its run"
        )


def _new_folder(root: Path) -> Path:
    """Make `root`, or the first of root-2, root-3, ... that does not exist."""
    number, candidate = 1, root
    while True:
        # To make it is the only way to have it alone: two runs may start in the same second.
        try:
            candidate.mkdir(parents=True)
        except FileExistsError:
            number += 1
            candidate = root.with_name(f"{root.name}-{number}")
        else:
            return candidate
