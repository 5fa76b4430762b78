"""Trackers get the rows of metrics.jsonl, once each; none of them can stop a training that has begun."""

import sqlite3
import struct
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from rlsp_cli.backends.environment import Environment
from rlsp_cli.backends.local import LocalBackend
from rlsp_cli.engine import trackers
from rlsp_cli.engine.trackers import Numbers, Stage, Tracker, tracking
from rlsp_cli.errors import NotReadyError
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.runs.paths import StagePaths
from rlsp_cli.runs.stream import append_rows, read_rows
from tests.conftest import TINY, load_checked, refusal, rlsp

Begin = Callable[[Stage], Tracker]


def recipe(*names: str) -> Recipe:
    """A recipe that sends metrics to these."""
    data = {"traces": {"source": "task:pair_sum", "rows": 8}}
    return Recipe.model_validate(
        {
            "name": "one",
            "model": {"path": "a/b"},
            "data": data,
            "sft": {},
            "tracking": {"to": names, "project": "mine"},
        }
    )


class Recorder:
    """A tracker that keeps what it gets, and fails at step `breaks`."""

    def __init__(self, breaks: int | None = None) -> None:
        self.stages: list[Stage] = []
        self.rows: list[tuple[int, Numbers]] = []
        self.closed: list[bool] = []
        self.breaks = breaks

    def begin(self, stage: Stage) -> Tracker:
        self.stages.append(stage)
        return Tracker("id-1", self.log, self.closed.append)

    def log(self, numbers: Numbers, step: int) -> None:
        if step == self.breaks:
            raise OSError("no network\nat all")
        self.rows.append((step, numbers))


@pytest.fixture
def using(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Begin], None]:
    """Puts another tracker in the place of a name."""
    return lambda name, begin: monkeypatch.setitem(trackers._TRACKERS, name, begin)


def train(folder: Path, *names: str, steps: range) -> None:
    """Log a row for each step, as a stage does."""
    paths = StagePaths(folder)
    with tracking(recipe(*names), "sft", paths) as running:
        for step in steps:
            row = {"step": step, "loss": 1 / (1 + step), "text": "words", "nothing": None}
            running.log(row)
            append_rows(paths.metrics, [row])


def test_a_tracker_gets_the_numbers_of_each_row(
    using: Callable[[str, Begin], None], tmp_path: Path
) -> None:
    one = Recorder()
    using("wandb", one.begin)
    train(tmp_path, "wandb", steps=range(2))
    assert one.rows == [(0, {"loss": 1.0}), (1, {"loss": 0.5})]
    stage = one.stages[0]
    assert (stage.project, stage.name, stage.id) == ("mine", "one-sft", None)
    assert one.closed == [True]


def test_a_resumed_stage_continues_its_run_and_repeats_no_row(
    using: Callable[[str, Begin], None], tmp_path: Path
) -> None:
    one = Recorder()
    using("wandb", one.begin)
    train(tmp_path, "wandb", steps=range(3))
    train(tmp_path, "wandb", steps=range(1, 5))  # the checkpoint was that of step 1
    assert [step for step, _ in one.rows] == [0, 1, 2, 3, 4]
    assert one.stages[1].id == "id-1"


def test_a_tracker_that_fails_is_named_once_and_the_others_go_on(
    using: Callable[[str, Begin], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken, whole = Recorder(breaks=1), Recorder()
    using("mlflow", broken.begin)
    using("wandb", whole.begin)
    train(tmp_path, "mlflow", "wandb", steps=range(4))
    assert len(whole.rows) == len(list(read_rows(tmp_path / "metrics.jsonl"))) == 4
    assert [step for step, _ in broken.rows] == [0]
    told = capsys.readouterr().out.splitlines()
    assert told == [
        "tracking.to: mlflow failed and gets no more rows, which are all in metrics.jsonl: "
        "OSError: no network"
    ]


def test_a_run_that_fails_is_closed_as_such(
    using: Callable[[str, Begin], None], tmp_path: Path
) -> None:
    one = Recorder()
    using("wandb", one.begin)
    with (
        pytest.raises(KeyboardInterrupt),
        tracking(recipe("wandb"), "sft", StagePaths(tmp_path)),
    ):
        raise KeyboardInterrupt
    assert one.closed == [False]


def test_a_tracker_that_does_not_begin_stops_the_stage_before_it_trains(
    using: Callable[[str, Begin], None], tmp_path: Path
) -> None:
    def fails(_stage: Stage) -> Tracker:
        raise ValueError("no login")

    using("wandb", fails)
    words = "tracking.to: wandb does not begin: ValueError: no login; leave it out"
    with pytest.raises(NotReadyError, match=words):
        train(tmp_path, "wandb", steps=range(1))
    assert not (tmp_path / "metrics.jsonl").exists()


@pytest.mark.parametrize("name", trackers._TRACKERS)
def test_a_package_that_is_missing_is_named_with_its_key_and_how_to_get_it(name: str) -> None:
    bare = Environment("local", (sys.executable, "-S"), "0")
    (issue,) = LocalBackend().missing_packages(recipe(name), "sft", bare)
    assert issue.path == "tracking.to"
    assert f"pip install {name} into rlsp's environment, or leave it out" in str(issue)
    assert LocalBackend().missing_packages(recipe(name), "eval", bare) == []


def test_evaluation_alone_has_nothing_to_track(tmp_path: Path) -> None:
    path = tmp_path / "eval.yaml"
    path.write_text("schema_version: 1\nname: a\nmodel: {path: a/b}\neval: {benches: [aime24]}\n")
    load_checked(path)
    assert refusal(path, ["tracking.to=[wandb]"], "tracking.to has no effect on evaluation")


# The real ones, where they are installed.


def of_tensorboard(folder: Path) -> list[int]:
    """Steps of the loss in TensorBoard's files."""
    module = import_module("tensorboard.backend.event_processing.event_accumulator")
    events = module.EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    return [event.step for event in events.Scalars("loss")]


def of_mlflow(_folder: Path) -> list[int]:
    """Steps of the loss in MLflow's store."""
    client = import_module("mlflow").MlflowClient()
    experiment = client.get_experiment_by_name("mine")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.run_name == "one-sft" and run.info.status == "FINISHED"
    return [metric.step for metric in client.get_metric_history(run.info.run_id, "loss")]


def of_trackio(folder: Path) -> list[int]:
    """Steps of the rows in trackio's database."""
    database = folder / "trackio" / "mine.db"
    with closing(sqlite3.connect(database)) as connection:
        rows = connection.execute("select run_name, step from metrics order by step").fetchall()
    assert len({name for name, _ in rows}) == 1
    return [step for _, step in rows]


def records(data: bytes) -> Iterator[bytes]:
    """The records of a file in LevelDB's log format: pieces within blocks of 32 KiB."""
    at, whole = 7, b""  # behind the head of the file
    while at + 7 <= len(data):
        if (left := 32768 - at % 32768) < 7:
            at += left
            continue
        size, kind = struct.unpack("<HB", data[at + 4 : at + 7])
        whole += data[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):  # the whole record, or its last piece
            yield whole
            whole = b""


def of_wandb(folder: Path) -> list[int]:
    """Steps of the rows in the files that `wandb sync` would send, which all belong to one run."""
    messages = import_module("wandb.proto.wandb_internal_pb2")
    files = sorted((folder / "wandb").glob("offline-run-*/*.wandb"))
    assert len({file.name for file in files}) == 1
    steps = []
    for file in files:
        for data in records(file.read_bytes()):
            record = messages.Record()
            record.ParseFromString(data)
            if record.WhichOneof("record_type") == "history":
                steps.append(record.history.step.num)
    return steps


READ: dict[str, Callable[[Path], list[int]]] = {
    "tensorboard": of_tensorboard,
    "mlflow": of_mlflow,
    "trackio": of_trackio,
    "wandb": of_wandb,
}


@pytest.mark.integration
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", READ)
def test_the_real_tracker_has_every_step_once_after_a_resume(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offline: dict[str, Any] = {
        "WANDB_MODE": "offline",
        "WANDB_SILENT": "true",
        "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db",
        "TRACKIO_DIR": tmp_path / "trackio",
    }
    for key, value in offline.items():
        monkeypatch.setenv(key, str(value))
    pytest.importorskip(name, reason=f"{name} is not installed")  # reads them when it is imported

    train(tmp_path, name, steps=range(3))
    time.sleep(1.1)  # wandb names its folders by the second
    train(tmp_path, name, steps=range(1, 5))

    # The process of wandb that writes the file goes on after ours.
    deadline = time.monotonic() + 30
    while len(READ[name](tmp_path)) < 5 and time.monotonic() < deadline:
        time.sleep(0.2)
    assert READ[name](tmp_path) == [0, 1, 2, 3, 4]


@pytest.mark.integration
def test_a_run_sends_its_metrics_to_tensorboard(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    (tmp_path / "tiny.yaml").write_text(TINY)
    chosen = ["sft.max_steps=2", "ppo=null", "eval=null", "tracking.to=[tensorboard]"]
    rlsp("run", "tiny.yaml", *chosen, "--out", "run", cwd=tmp_path)
    assert of_tensorboard(tmp_path / "run" / "sft") == [0, 1]
