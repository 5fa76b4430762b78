"""The way of a recipe, with a stand-in for what runs a job: which stages run, and what status.json keeps of them."""

import io
import json
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from rlsp_cli.backends.job import Job
from rlsp_cli.errors import JobError, NotReadyError, RlspError, StageError, UsageError
from rlsp_cli.launch import workflow
from rlsp_cli.launch.start import Start
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.runs.run import Run
from tests.conftest import load_checked

ALL = ("sft", "ppo", "eval")


class Launcher:
    """Stands in for `launch`: remembers the stages, and leaves what a stage leaves for the next one."""

    def __init__(self) -> None:
        self.stages: list[str] = []
        self.during: list[str] = []
        self.errors: dict[str, RlspError] = {}
        self.signals: dict[str, list[int]] = {}

    def __call__(self, job: Job, run: Run, screen: Console) -> list[int]:
        self.stages.append(job.stage)
        self.during.append(status(run.paths.root)["stages"][job.stage])
        if job.stage in self.errors:
            raise self.errors[job.stage]
        if job.stage == "eval":
            results = run.paths.stage("eval").results
            results.parent.mkdir(exist_ok=True)
            results.write_text('{"schema": "rlsp.results/1", "data": {}}')
        return self.signals.get(job.stage, [])


@pytest.fixture
def launcher(monkeypatch: pytest.MonkeyPatch) -> Launcher:
    stand_in = Launcher()
    monkeypatch.setattr(workflow, "launch", stand_in)
    monkeypatch.setattr(workflow, "write_report", lambda root: root)
    return stand_in


@pytest.fixture
def recipe(tiny_recipe: Path) -> Recipe:
    return load_checked(tiny_recipe)


@pytest.fixture
def run(recipe: Recipe, tmp_path: Path) -> Callable[..., str]:
    """Runs stages in one folder; returns what the screen shows."""

    def run(stages: Sequence[str] = ALL, resume: bool = False) -> str:
        shown = io.StringIO()
        start = Start(tmp_path / "run", resume)
        workflow.run_recipe(
            recipe, stages, start, Console(file=shown), lambda root: f"again {root}"
        )
        return shown.getvalue()

    return run


def status(root: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((root / "status.json").read_text())
    return data


def test_stages_run_one_after_the_other_and_the_run_is_done(
    launcher: Launcher, run: Callable[..., str], tmp_path: Path
) -> None:
    run()
    found = status(tmp_path / "run")
    assert launcher.stages == ["sft", "ppo", "eval"]
    assert launcher.during == ["running"] * 3
    assert found["stages"] == dict.fromkeys(ALL, "done")
    assert (found["state"], found["exit_code"]) == ("done", 0)


def test_a_run_with_stages_to_do_is_not_done(
    launcher: Launcher, run: Callable[..., str], tmp_path: Path
) -> None:
    run(["sft"])
    assert status(tmp_path / "run")["state"] == "planned"


def test_a_resumed_run_leaves_out_what_is_done(
    launcher: Launcher, run: Callable[..., str], tmp_path: Path
) -> None:
    run(["sft"])
    assert "sft: done before" in run(resume=True)
    assert launcher.stages == ["sft", "ppo", "eval"]
    assert status(tmp_path / "run")["state"] == "done"


def test_an_evaluation_without_its_results_is_done_again(
    launcher: Launcher, run: Callable[..., str], tmp_path: Path
) -> None:
    run(["eval"])
    run(["eval"], resume=True)
    assert launcher.stages == ["eval"]

    (tmp_path / "run" / "eval" / "results.json").unlink()
    run(["eval"], resume=True)
    assert launcher.stages == ["eval", "eval"]


def test_a_failed_stage_ends_the_run_with_its_reason(
    launcher: Launcher, run: Callable[..., str], tmp_path: Path
) -> None:
    launcher.errors["ppo"] = JobError("it fell over", exit_code=23)
    with pytest.raises(StageError, match=r"^ppo: it fell over$") as error:
        run()

    found = status(tmp_path / "run")
    assert error.value.exit_code == 23
    assert launcher.stages == ["sft", "ppo"]
    assert found["stages"] == {"sft": "done", "ppo": "failed"}
    assert (found["state"], found["stage"], found["exit_code"]) == ("failed", "ppo", 23)
    assert found["message"] == "it fell over"


def test_a_failed_stage_is_tried_again_by_a_resume(
    launcher: Launcher, run: Callable[..., str], tmp_path: Path
) -> None:
    launcher.errors["ppo"] = JobError("it fell over")
    with pytest.raises(StageError):
        run()
    del launcher.errors["ppo"]
    run(resume=True)
    assert launcher.stages == ["sft", "ppo", "ppo", "eval"]
    assert status(tmp_path / "run")["message"] is None


def test_what_can_be_mended_says_how_to_go_on(
    launcher: Launcher, run: Callable[..., str], tmp_path: Path
) -> None:
    launcher.errors["sft"] = NotReadyError("no GPU here")
    with pytest.raises(StageError, match=f"sft: no GPU here; go on with: again {tmp_path}/run$"):
        run()


def test_a_stage_that_cannot_run_is_refused_before_the_first_one_starts(
    launcher: Launcher,
    run: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def ready(recipe: Recipe, stage: str) -> None:
        if stage == "ppo":
            raise NotReadyError("no such package")

    monkeypatch.setattr(workflow, "ready_environment", ready)
    with pytest.raises(StageError, match=r"^ppo: no such package"):
        run()
    assert launcher.stages == []
    assert status(tmp_path / "run")["stages"] == {"ppo": "failed"}


def test_a_signal_that_a_stage_survived_stops_the_next_one(
    launcher: Launcher, run: Callable[..., str], tmp_path: Path
) -> None:
    launcher.signals["sft"] = [signal.SIGINT]
    with pytest.raises(StageError, match=r"^ppo: stopped before it began") as error:
        run()

    found = status(tmp_path / "run")
    assert launcher.stages == ["sft"]
    assert error.value.exit_code == 128 + signal.SIGINT
    assert found["stages"] == {"sft": "done", "ppo": "stopped"}
    assert found["state"] == "stopped"


def test_stages_run_in_the_order_of_the_recipe(recipe: Recipe) -> None:
    assert workflow.pick_stages(recipe, []) == ALL
    assert workflow.pick_stages(recipe, ["eval", "sft"]) == ("sft", "eval")


def test_a_stage_that_the_recipe_lacks_is_refused(recipe: Recipe) -> None:
    without = recipe.model_copy(update={"ppo": None})
    with pytest.raises(UsageError, match="stage 'ppo': this recipe has sft, eval; add a section"):
        workflow.pick_stages(without, ["ppo"])


def test_unfinished_stages_are_those_that_are_not_done(
    launcher: Launcher, run: Callable[..., str], recipe: Recipe, tmp_path: Path
) -> None:
    launcher.errors["ppo"] = JobError("it fell over")
    with pytest.raises(StageError):
        run()
    assert workflow.unfinished(recipe, ALL, tmp_path / "run") == ("ppo", "eval")
