"""Trackers that get the rows of metrics.jsonl too: for each a function that begins a run there, or continues one.

Addresses and logins are matters of the environment, as each tracker's own documentation says.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from secrets import token_hex
from typing import Any

from rlsp_cli.errors import NotReadyError
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.runs.paths import StagePaths
from rlsp_cli.runs.stream import read_json, read_rows, write_json
from rlsp_cli.terminal import print

Numbers = Mapping[str, float]


@dataclass(frozen=True)
class Stage:
    """A stage as trackers know it; `id` is that of the run which a resumed stage continues."""

    project: str
    name: str
    folder: Path
    config: dict[str, Any]
    id: str | None


@dataclass(frozen=True)
class Tracker:
    """A run in a tracker; `close` is told whether the stage went well."""

    id: str
    log: Callable[[Numbers, int], None]
    close: Callable[[bool], None]


class Trackers:
    """A stage's trackers. One that fails is named once, and gets nothing more."""

    def __init__(self, running: Mapping[str, Tracker] | None = None, last_step: int = -1) -> None:
        self._running, self._last_step = dict(running or {}), last_step

    def log(self, row: Mapping[str, Any]) -> None:
        """Send the numbers of a row of metrics.jsonl, unless an earlier attempt has sent its step."""
        step = row["step"]
        numbers = {key: value for key, value in row.items() if isinstance(value, int | float)}
        del numbers["step"]
        if step > self._last_step:
            self._each(lambda tracker: tracker.log(numbers, step))

    def close(self, went_well: bool) -> None:
        """End the runs."""
        self._each(lambda tracker: tracker.close(went_well))

    def _each(self, work: Callable[[Tracker], None]) -> None:
        for name, tracker in list(self._running.items()):
            try:
                work(tracker)
            except Exception as error:  # a network, a disk, a server: training does without
                del self._running[name]
                print(
                    f"tracking.to: {name} failed and gets no more rows, which are all in "
                    f"metrics.jsonl: {_words(error)}"
                )


@contextmanager
def tracking(recipe: Recipe, stage: str, paths: StagePaths) -> Iterator[Trackers]:
    """The recipe's trackers while a stage trains; NotReadyError when one does not begin.

    A resumed stage continues the runs that it began.
    """
    ids = read_json(paths.trackers) if paths.trackers.exists() else {}
    running: dict[str, Tracker] = {}
    for name in recipe.tracking.to:
        project = recipe.tracking.project or recipe.name
        config = recipe.model_dump(mode="json")
        known = Stage(project, f"{recipe.name}-{stage}", paths.root, config, ids.get(name))
        running[name] = _begin(name, known)
    if running:
        ids |= {name: tracker.id for name, tracker in running.items()}
        write_json(paths.trackers, ids)

    steps = [row["step"] for row in read_rows(paths.metrics)] if running else []
    trackers = Trackers(running, max(steps, default=-1))
    went_well = False
    try:
        yield trackers
        went_well = True
    finally:
        trackers.close(went_well)


def _begin(name: str, stage: Stage) -> Tracker:
    try:
        return _TRACKERS[name](stage)
    except Exception as error:  # no login, no server: each says so in a type of its own
        raise NotReadyError(
            f"tracking.to: {name} does not begin: {_words(error)}; leave it out to train without it"
        ) from error


def _tensorboard(stage: Stage) -> Tracker:
    writer = import_module("torch.utils.tensorboard").SummaryWriter(stage.folder / "tensorboard")

    def log(numbers: Numbers, step: int) -> None:
        for key, value in numbers.items():
            writer.add_scalar(key, value, step)
        writer.flush()

    return Tracker("", log, lambda _went_well: writer.close())


def _wandb(stage: Stage) -> Tracker:
    run = import_module("wandb").init(
        project=stage.project,
        name=stage.name,
        id=stage.id or token_hex(8),
        resume="allow",
        dir=stage.folder,
        config=stage.config,
    )

    def log(numbers: Numbers, step: int) -> None:
        run.log(numbers, step=step)

    return Tracker(run.id, log, lambda went_well: run.finish(exit_code=int(not went_well)))


def _mlflow(stage: Stage) -> Tracker:
    mlflow = import_module("mlflow")
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name(stage.project)
    within = experiment.experiment_id if experiment else client.create_experiment(stage.project)
    run = stage.id or client.create_run(within, run_name=stage.name).info.run_id
    client.update_run(run, status="RUNNING")

    def log(numbers: Numbers, step: int) -> None:
        now = int(1000 * time.time())
        metrics = [mlflow.entities.Metric(*pair, now, step) for pair in numbers.items()]
        client.log_batch(run, metrics)

    def close(went_well: bool) -> None:
        client.set_terminated(run, "FINISHED" if went_well else "FAILED")

    return Tracker(run, log, close)


def _trackio(stage: Stage) -> Tracker:
    # Runs have no id here: the name has to be another one for each.
    name = stage.id or f"{stage.name}-{token_hex(4)}"
    run = import_module("trackio").init(
        project=stage.project,
        name=name,
        resume="allow",
        config=stage.config,
        embed=False,
        auto_log_cpu=False,
        auto_log_gpu=False,
    )

    def log(numbers: Numbers, step: int) -> None:
        run.log(dict(numbers), step=step)

    return Tracker(name, log, lambda _went_well: run.finish())


_TRACKERS: dict[str, Callable[[Stage], Tracker]] = {
    "wandb": _wandb,
    "mlflow": _mlflow,
    "trackio": _trackio,
    "tensorboard": _tensorboard,
}


def _words(error: Exception) -> str:
    """An error on one line."""
    words = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {words}"
