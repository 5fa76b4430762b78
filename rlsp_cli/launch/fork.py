"""A fork: a new run that begins from a checkpoint of another one."""

import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

from rlsp_cli.errors import UsageError
from rlsp_cli.recipe.origin import flat
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.runs.checkpoints import numbered
from rlsp_cli.runs.paths import StagePaths
from rlsp_cli.runs.run import Run, open_run
from rlsp_cli.runs.shapes import Manifest, MetricsRow
from rlsp_cli.runs.stream import read_json, read_rows, write_json, write_rows

_TRAINED = (
    *("model.path", "model.from_scratch", "model.chat_template", "model.special_tokens"),
    *("sft", "data.traces", "data.steps", "data.pairs"),
)
"""Keys that made the model of the checkpoint: a fork cannot change them any more."""
_OF_STATE = (
    *("ppo.backend", "ppo.lora", "ppo.critic", "ppo.estimator", "ppo.implicit_prm"),
    "data.prompts",
)
"""Keys without which the state of a trainer means nothing: its models, and its place in the data."""
_TRAINER = "trainer.pt"
_TAKEN = "weights, critic, optimisers, schedules, KL coefficient, data position"


@dataclass(frozen=True)
class Fork:
    """A checkpoint of `run`: after `step` steps of PPO, or a model without steps (None).

    `differs` are the keys by which the new recipe rules out the trainer's state; without a state
    in the checkpoint they do not matter.
    """

    run: Run
    folder: Path
    step: int | None
    differs: tuple[str, ...] = ()

    @property
    def has_state(self) -> bool:
        """Whether the checkpoint has optimisers, and the new recipe can go on with them."""
        return self._was_saved and not self.differs

    @property
    def overrides(self) -> list[str]:
        """What the recipe must change: without the state, the checkpoint is the first model."""
        if self.has_state:
            return []
        return [f"model.path={self.folder}", "model.from_scratch=null", "sft=null"]

    @property
    def words(self) -> str:
        """A sentence for the screen."""
        return f"forked from {self.folder}: {self._taken}"

    @property
    def _was_saved(self) -> bool:
        return is_zipfile(self.folder / _TRAINER)

    @property
    def _taken(self) -> str:
        if self.has_state:
            return _TAKEN
        if self._was_saved:
            return f"weights only; not the optimisers, because of {', '.join(self.differs)}"
        return "weights only; this model was saved without optimisers"

    def place(self, new: Run) -> None:
        """Put what the fork begins with into a new run, and say in its manifest where it is from."""
        known = read_json(new.paths.manifest, Manifest)
        write_json(new.paths.manifest, {**known, "forked_from": self._to_json()})
        if not self.has_state:
            return

        assert self.step is not None, "a state has a step"
        old, ppo = self.run.paths, new.paths.stage("ppo")
        if new.recipe.sft is not None:
            _take_over(old.stage("sft").final, new.paths.stage("sft").final)
            new.update(stages={"sft": "done"})
        _take_over(self.folder, ppo.checkpoint(self.step))

        # With the rows before it the curves are whole, and a row's number is its step.
        rows = read_rows(old.stage("ppo").metrics, MetricsRow)
        write_rows(ppo.metrics, (row for row in rows if row["step"] < self.step))

    def _to_json(self) -> dict[str, Any]:
        before = read_json(self.run.paths.manifest, Manifest)
        return {
            "run": str(self.run.paths.root),
            "recipe_digest": before["recipe_digest"],
            "checkpoint": str(self.folder.relative_to(self.run.paths.root)),
            "step": self.step,
            "taken": self._taken,
        }


def find_fork(text: str) -> Fork:
    """The checkpoint of `RUN@STEP`, or the final model of `RUN`; UsageError if it is not there."""
    root, at, number = text.rpartition("@")
    if not at or Path(text).is_dir():
        run = open_run(Path(text))
        return Fork(run, _final(run), None)

    if not number.isdigit():
        raise UsageError(f"--from {text}: {number!r} is no step; write RUN@STEP, or RUN")
    run = open_run(Path(root))
    folder = _at_step(run.paths.stage("ppo"), int(number))
    if folder is None:
        raise UsageError(f"--from {text}: no checkpoint of this step; {_known(run)}")
    return Fork(run, folder, int(number))


def fitted(fork: Fork, recipe: Recipe) -> Fork:
    """The fork for a recipe; UsageError if the recipe changes what was trained, or ends too soon."""
    if recipe.ppo is None or recipe.rounds is not None:
        why = "has rounds" if recipe.rounds else "has no ppo"
        raise UsageError(f"--from: a fork trains by PPO, and this recipe {why}")
    if trained := list(_different(fork.run.recipe, recipe, _TRAINED)):
        raise UsageError(
            f"--from: {', '.join(trained)} made the model that is there, and cannot change; undo "
            f"that, or fork {fork.run.paths.resolved}, which has the keys of that run"
        )

    differs = tuple(_different(fork.run.recipe, recipe, _OF_STATE))
    found = Fork(fork.run, fork.folder, fork.step, differs)
    steps = recipe.ppo.steps
    if found.has_state and steps is not None and found.step is not None and steps <= found.step:
        raise UsageError(f"--from: ppo.steps is {steps}, and step {found.step} is done; raise it")
    return found


def _final(run: Run) -> Path:
    for stage in ("ppo", "sft"):
        final = run.paths.stage(stage).final
        if final.is_dir():
            return final
    raise UsageError(f"--from {run.paths.root}: this run has no final model; {_known(run)}")


def _at_step(ppo: StagePaths, step: int) -> Path | None:
    """The checkpoint after so many steps with the trainer's state, else the model alone."""
    for folder in (ppo.checkpoint(step), ppo.exported(step)):
        if folder.is_dir():
            return folder
    is_last = ppo.final.is_dir() and step == sum(1 for _ in read_rows(ppo.metrics))
    return ppo.final if is_last else None


def _known(run: Run) -> str:
    ppo = run.paths.stage("ppo")
    steps = {*numbered(ppo.checkpoints, "step-"), *numbered(ppo.checkpoints, "model-")}
    if ppo.final.is_dir():
        steps.add(sum(1 for _ in read_rows(ppo.metrics)))
    if not steps:
        return "it has no checkpoints of PPO"
    return f"there are: {', '.join(map(str, sorted(steps)))} (more with ppo.export_every)"


def _different(before: Recipe, after: Recipe, keys: tuple[str, ...]) -> Iterator[str]:
    """The leaves below these keys in which two recipes differ; a section that one has not, whole."""
    old, new = (flat(recipe.model_dump(mode="json")) for recipe in (before, after))
    found = []
    for key in {**old, **new}:
        is_meant = any(key == one or key.startswith(f"{one}.") for one in keys)
        if is_meant and old.get(key) != new.get(key):
            found.append(_none_of(key, old) or _none_of(key, new) or key)
    yield from dict.fromkeys(found)


def _none_of(key: str, recipe: Mapping[str, Any]) -> str | None:
    """The section around a leaf that is null in a flat recipe."""
    parts = key.split(".")
    around = (".".join(parts[:length]) for length in range(1, len(parts)))
    return next((name for name in around if name in recipe), None)


def _take_over(source: Path, target: Path) -> None:
    shutil.copytree(source, target, copy_function=_link)


def _link(source: str, target: str) -> None:
    """Another name for a file, or a copy on another disk: checkpoints are never changed in place."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
