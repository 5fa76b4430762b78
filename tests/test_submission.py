"""A Ray job followed to its end, with a dashboard that answers from memory."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rlsp_cli.errors import JobError, SafetyError
from rlsp_cli.launch.ray import submission as module
from rlsp_cli.launch.ray.activity import Activity
from rlsp_cli.launch.ray.cluster import RayCluster
from rlsp_cli.launch.ray.dashboard import Dashboard, JobInfo, Node, UnreachableError
from rlsp_cli.launch.ray.service import RewardService
from rlsp_cli.launch.ray.submission import Submission


class MemoryDashboard(Dashboard):
    """A dashboard whose job goes through `states`, and stays in the last one."""

    def __init__(self, *states: str | Exception) -> None:
        super().__init__("http://127.0.0.1:1")
        self.states = list(states)
        self.log = ""
        self.message = ""
        self.machines = [node("a"), node("b")]
        self.stopped: list[str] = []

    def job(self, submission: str) -> JobInfo:
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        if isinstance(state, Exception):
            raise state
        return JobInfo(state, self.message, "01", None, None)

    def logs(self, submission: str) -> str:
        return self.log

    def nodes(self) -> list[Node]:
        return self.machines

    def state(self, what: str, detail: bool = False) -> list[dict[str, Any]]:
        return STATE[what]

    def stack(self, node: str, pid: int) -> str:
        if pid == 8:
            raise JobError("py-spy is missing")
        return f"stack of {pid}"

    def stop(self, submission: str) -> None:
        self.stopped.append(submission)


STATE: dict[str, list[dict[str, Any]]] = {
    "nodes": [],
    "placement_groups": [],
    "actors": [
        {
            "job_id": "01",
            "state": "ALIVE",
            "node_id": "a",
            "pid": 7,
            "class_name": "Policy",
            "name": "",
        },
        {
            "job_id": "01",
            "state": "DEAD",
            "node_id": "a",
            "pid": 6,
            "class_name": "Policy",
            "name": "",
        },
        {
            "job_id": "02",
            "state": "ALIVE",
            "node_id": "a",
            "pid": 5,
            "class_name": "Other",
            "name": "",
        },
    ],
    "tasks": [
        {
            "job_id": "01",
            "state": "RUNNING",
            "node_id": "a",
            "worker_pid": 7,
            "name": "Policy.step",
        },
        {"job_id": "01", "state": "RUNNING", "node_id": "b", "worker_pid": 8, "name": "sample"},
        {"job_id": "01", "state": "PENDING", "node_id": "b", "worker_pid": None, "name": "sample"},
    ],
}


def node(name: str, alive: bool = True, message: str | None = None) -> Node:
    return Node(name, f"10.0.0.{ord(name)}", alive, False, 8, 64, None, None, message)


Follow = Callable[..., Submission]


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def follow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: list[str]) -> Follow:
    """A submission to a dashboard; time passes fast, and the word `secret` is concealed."""
    for name in ("_POLL_S", "_SLOWEST_POLL_S"):
        monkeypatch.setattr(module, name, 0.001)
    (tmp_path / "ppo").mkdir()

    def follow(dashboard: Dashboard, head: "subprocess.Popen[bytes] | None" = None) -> Submission:
        def conceal(text: str) -> str:
            return text.replace("secret", "***")

        cluster = RayCluster(dashboard, None, head)
        return Submission(cluster, "rlsp-1", tmp_path / "ppo", tmp_path, conceal, said.append)

    return follow


def test_a_job_that_succeeds_prints_its_log_once_and_without_secrets(
    follow: Follow, capsys: pytest.CaptureFixture[str]
) -> None:
    dashboard = MemoryDashboard("PENDING", "RUNNING", "RUNNING", "SUCCEEDED")
    dashboard.log = "loading\nthe secret\n"
    follow(dashboard).to_the_end(None, 60)
    assert capsys.readouterr().out == "loading\nthe ***\n"


def test_a_job_that_fails_gives_its_last_error_and_a_likely_cause(follow: Follow) -> None:
    dashboard = MemoryDashboard("FAILED")
    dashboard.log = (
        "Traceback (most recent call last):\nRuntimeError: CUDA out of memory. the secret\n"
    )
    with pytest.raises(JobError) as error:
        follow(dashboard).to_the_end(None, 60)
    assert str(error.value) == (
        "the Ray job failed: out of GPU memory; lower micro_batch: "
        "RuntimeError: CUDA out of memory. the ***"
    )


def test_an_error_that_the_job_survived_is_no_cause(follow: Follow) -> None:
    dashboard = MemoryDashboard("FAILED")
    first = "Traceback (most recent call last):\nOSError: No space left on device\n"
    dashboard.log = f"{first}Traceback (most recent call last):\nValueError: no rows\n"
    with pytest.raises(JobError, match=r"^the Ray job failed: ValueError: no rows$"):
        follow(dashboard).to_the_end(None, 60)


def test_a_job_that_printed_nothing_fails_with_the_words_of_ray(follow: Follow) -> None:
    dashboard = MemoryDashboard("FAILED")
    dashboard.message = "the runtime environment could not be set up"
    with pytest.raises(JobError, match="the runtime environment could not be set up"):
        follow(dashboard).to_the_end(None, 60)


def test_a_node_that_is_lost_is_named_when_it_goes_and_as_the_reason(
    follow: Follow, said: list[str]
) -> None:
    dashboard = MemoryDashboard("RUNNING", "RUNNING", "FAILED")
    submission = follow(dashboard)
    dashboard.machines = [node("a"), node("b", alive=False, message="no heartbeat")]
    with pytest.raises(
        JobError, match=r"^the Ray job failed: lost node 10\.0\.0\.98 \(no heartbeat\)"
    ):
        submission.to_the_end(None, 60)
    assert len([text for text in said if "lost node 10.0.0.98" in text]) == 1


def test_a_node_that_was_dead_before_the_job_is_not_lost(follow: Follow, said: list[str]) -> None:
    dashboard = MemoryDashboard("FAILED")
    dashboard.machines = [node("a"), node("b", alive=False)]
    with pytest.raises(JobError, match=r"^the Ray job failed: it printed nothing$"):
        follow(dashboard).to_the_end(None, 60)
    assert said == []


def test_a_job_that_failed_of_a_lost_node_waits_for_its_name(follow: Follow) -> None:
    class Late(MemoryDashboard):
        looks = 0

        def nodes(self) -> list[Node]:
            self.looks += 1
            return [node("a"), node("b", alive=self.looks < 4)]

    dashboard = Late("FAILED")
    dashboard.log = "ray.exceptions.ActorDiedError: The actor died unexpectedly\n"
    with pytest.raises(JobError, match=r"lost node 10\.0\.0\.98: ray\.exceptions\.ActorDiedError"):
        follow(dashboard).to_the_end(None, 60)


def test_a_job_that_another_has_stopped_says_so(follow: Follow) -> None:
    with pytest.raises(JobError, match="the Ray job was stopped from outside: rlsp-1"):
        follow(MemoryDashboard("STOPPED")).to_the_end(None, 60)


def test_a_head_that_ends_takes_the_job_with_it(follow: Follow) -> None:
    head = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])
    head.wait()
    with pytest.raises(JobError, match="the Ray head ended with code 3, and the job with it"):
        follow(MemoryDashboard("RUNNING"), head).to_the_end(None, 60)


def test_a_dashboard_may_be_silent_for_a_while(follow: Follow) -> None:
    silent = UnreachableError("no answer")
    follow(MemoryDashboard("RUNNING", silent, silent, "SUCCEEDED")).to_the_end(None, 60)


def test_a_dashboard_that_stays_silent_ends_the_job(
    follow: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SILENCE_S", 0.01)
    dashboard = MemoryDashboard("RUNNING", UnreachableError("no answer"))
    with pytest.raises(JobError, match="the job is lost or out of reach: no answer"):
        follow(dashboard).to_the_end(None, 60)


def test_a_job_without_progress_is_diagnosed_and_ended(follow: Follow, tmp_path: Path) -> None:
    dashboard = MemoryDashboard("RUNNING")
    dashboard.log = "step 1, secret\n"
    with pytest.raises(JobError, match="no progress for 0 s, so the job was stopped"):
        follow(dashboard).to_the_end(None, 0.05)
    folder = tmp_path / "diagnostics"
    assert (folder / "last_lines.txt").read_text() == "step 1, ***\n"
    assert "Policy" in (folder / "actors.json").read_text()


def test_diagnostics_have_the_stack_of_each_process_of_the_job_or_why_not(
    follow: Follow, tmp_path: Path
) -> None:
    with pytest.raises(JobError):
        follow(MemoryDashboard("RUNNING")).to_the_end(None, 0)
    assert (tmp_path / "diagnostics" / "stacks.txt").read_text() == (
        "== actor Policy, process 7 on node a\nstack of 7\n\n"
        "== task sample, process 8 on node b\nunavailable: py-spy is missing\n\n"
    )


def test_an_error_of_the_service_ends_the_job(follow: Follow) -> None:
    class Broken(RewardService):
        def __init__(self) -> None:
            self.progress: list[bool] = []

        def tend(self, progress: bool) -> None:
            self.progress.append(progress)
            if len(self.progress) > 1:
                raise SafetyError("too many rewards fail")

    dashboard, service = MemoryDashboard("RUNNING"), Broken()
    dashboard.log = "step 1\n"
    with pytest.raises(SafetyError):
        follow(dashboard).to_the_end(service, 60)
    assert service.progress == [True, False]


def test_a_job_is_stopped_and_its_end_awaited(follow: Follow) -> None:
    dashboard = MemoryDashboard("RUNNING", "RUNNING", "STOPPED")
    follow(dashboard).stop()
    assert dashboard.stopped == ["rlsp-1"]
    assert dashboard.states == ["STOPPED"]


def test_a_job_that_has_ended_is_not_stopped(follow: Follow) -> None:
    dashboard = MemoryDashboard("SUCCEEDED")
    follow(dashboard).stop()
    assert dashboard.stopped == []


def test_a_job_that_cannot_be_stopped_is_said_and_hides_no_other_error(
    follow: Follow, said: list[str]
) -> None:
    follow(MemoryDashboard(UnreachableError("no answer"))).stop()
    assert said == ["the Ray job rlsp-1 could not be stopped: no answer"]


@pytest.fixture
def activity(tmp_path: Path) -> Activity:
    folder = tmp_path / "ppo"
    (folder / "attempts" / "1").mkdir(parents=True)
    found = Activity(folder)
    found.at -= 100
    return found


def test_a_line_of_the_jobs_own_is_activity(activity: Activity) -> None:
    assert activity.quiet_s >= 100
    assert activity.has_grown("step 7\n")
    assert activity.quiet_s < 100


def test_what_ray_prints_while_it_waits_is_none(activity: Activity) -> None:
    waiting = "(autoscaler +12s) Error: No available node types can fulfill the request\n(raylet) idle\n\n"
    assert not activity.has_grown(waiting)
    assert activity.quiet_s >= 100
    assert activity.has_grown(f"{waiting}step 7\n")


def test_a_file_of_the_stage_that_grows_is_activity_once(activity: Activity) -> None:
    (activity.folder / "metrics.jsonl").write_text("{}\n")
    assert activity.has_grown("")
    assert not activity.has_grown("")


def test_what_rlsp_writes_about_attempts_is_none(activity: Activity) -> None:
    (activity.folder / "attempts" / "1" / "stdout.log").write_text("printed\n")
    assert not activity.has_grown("")
