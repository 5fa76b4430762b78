"""What is known about a job that hangs, gathered into one folder before it is stopped."""

import functools
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rlsp_cli.errors import JobError
from rlsp_cli.launch.ray.dashboard import Dashboard, JobInfo
from rlsp_cli.runs.stream import write_text

_LINES = 200
_NVIDIA_SMI_S = 60
"""A GPU that hangs may keep nvidia-smi from ending."""


def gather_diagnostics(
    dashboard: Dashboard, info: JobInfo, log: str, folder: Path, conceal: Callable[[str], str]
) -> None:
    """Write the stacks of the job's processes, Ray's state, the last lines and the GPUs' state.

    A part that is unavailable is a file that says why.
    """
    parts: dict[str, Callable[[], str]] = {
        "last_lines.txt": lambda: "\n".join(log.splitlines()[-_LINES:]) + "\n",
        "stacks.txt": lambda: "\n\n".join(_stacks(dashboard, info)) + "\n",
    }
    for what in ("nodes", "actors", "placement_groups", "tasks"):
        parts[f"{what}.json"] = functools.partial(_state, dashboard, what)
    if shutil.which("nvidia-smi"):
        parts["nvidia-smi.txt"] = _gpus

    # Written one by one: a cluster in trouble may answer some questions and hang at others.
    for name, read in parts.items():
        write_text(folder / name, conceal(_or_reason(read)))


def _or_reason(read: Callable[[], str]) -> str:
    try:
        return read()
    except (JobError, OSError) as error:
        return f"unavailable: {error}\n"


def _state(dashboard: Dashboard, what: str) -> str:
    return json.dumps(dashboard.state(what, detail=what == "nodes"), indent=2) + "\n"


def _stacks(dashboard: Dashboard, info: JobInfo) -> Iterator[str]:
    """One text for each process of the job: its driver, its live actors, its running tasks."""
    for (node, pid), what in _processes(dashboard, info).items():
        stack = _or_reason(functools.partial(dashboard.stack, node, pid))
        yield f"== {what}, process {pid} on node {node}\n{stack}"


def _processes(dashboard: Dashboard, info: JobInfo) -> dict[tuple[str, int], str]:
    """The job's processes as (node, pid), and what each of them is."""
    found: dict[tuple[str, int], str] = {}
    if info.node and info.pid:
        found[info.node, info.pid] = "the job's driver"

    def ours(row: dict[str, Any], state: str) -> bool:
        return bool(row["job_id"] == info.job_id and row["state"] == state)

    for row in dashboard.state("actors"):
        if ours(row, "ALIVE"):
            name = f"actor {row['class_name']} {row['name']}"
            found[row["node_id"], int(row["pid"])] = name.strip()

    # The call of an actor's method is a task too, in the process that is known as the actor.
    for row in dashboard.state("tasks"):
        if ours(row, "RUNNING") and row["worker_pid"]:
            found.setdefault((row["node_id"], int(row["worker_pid"])), f"task {row['name']}")

    return found


def _gpus() -> str:
    done = subprocess.run(
        ["nvidia-smi"], capture_output=True, text=True, check=False, timeout=_NVIDIA_SMI_S
    )
    return done.stdout + done.stderr
