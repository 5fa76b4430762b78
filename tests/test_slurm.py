"""Batch scripts on a real Slurm; and following a job whose controller does not always answer, where commands of that
name stand in for Slurm's.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rlsp_cli.backends.ray_sbatch import ray_batch_script
from rlsp_cli.backends.sbatch import batch_script, cpus_of
from rlsp_cli.errors import NotReadyError, StoppedError
from rlsp_cli.launch import slurm
from rlsp_cli.launch.attempt import Attempt
from rlsp_cli.recipe.cluster import Cluster
from tests.observer import Recorder

pytestmark = pytest.mark.integration

SBATCH = """\
#!/bin/sh
echo 0 > "$RLSP_EXIT_FILE"
echo 7
"""
SQUEUE = """\
#!/bin/sh
echo asked >> {asked}
if [ "$(wc -l < {asked})" -le {failures} ]; then
    echo 'slurm_load_jobs error: Socket timed out on send/recv operation' >&2
    exit 1
fi
echo 'COMPLETED|None'
"""
SCANCEL = """\
#!/bin/sh
echo "$*" >> {log}
"""
ANSWERS = """\
#!/bin/sh
echo asked >> {asked}
case $(wc -l < {asked}) in {cases}
*) echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1;; esac
"""


def pretend(folder: Path, monkeypatch: pytest.MonkeyPatch, squeue: str) -> None:
    """Slurm's commands as scripts: sbatch makes job 7, and scancel writes down how it was called."""
    commands = {
        "sbatch": SBATCH,
        "squeue": squeue,
        "scancel": SCANCEL.format(log=folder / "cancelled"),
    }
    for name, text in commands.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setattr(slurm, "_POLL_S", 0.01)


def answers(folder: Path, *states: str) -> str:
    """A squeue that gives these answers one after the other, and then has forgotten the job."""
    cases = "".join(f"\n{n}) printf '{text}';;" for n, text in enumerate(states, start=1))
    return ANSWERS.format(asked=folder / "asked", cases=cases)


def follow(
    failures: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[tuple[int, list[int]], int]:
    """What run_batch returns when squeue fails so many times in a row, and how often progress was looked at."""
    pretend(folder, monkeypatch, SQUEUE.format(asked=folder / "asked", failures=failures))
    recorder = Recorder()
    done = slurm.run_batch(folder / "job", Attempt(folder, {}, recorder), None)
    return done, recorder.ticks


def test_a_busy_controller_is_asked_again_while_the_job_is_watched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert follow(2, tmp_path, monkeypatch) == ((0, []), 4)


def test_a_controller_that_stays_away_is_told_with_the_job_that_may_run_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(
        NotReadyError, match=r"Socket timed out .*; Slurm job 7 may still run: `scancel 7`"
    ):
        follow(10_000, tmp_path, monkeypatch)


def test_an_array_lasts_as_long_as_one_of_its_tasks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    states = ["PENDING|Priority", "RUNNING|n\\nPENDING|Priority", "RUNNING|n\\nFAILED|n"]
    pretend(tmp_path, monkeypatch, answers(tmp_path, *states))
    slurm.run_array(tmp_path / "job", 2, None, recorder := Recorder())
    assert recorder.ticks == 5
    assert recorder.said == ["Slurm array 7 of 2 tasks submitted"]

    pretend(tmp_path, monkeypatch, SQUEUE.format(asked=tmp_path / "asked", failures=10_000))
    with pytest.raises(NotReadyError, match=r"Socket timed out .*; Slurm array 7 may still run"):
        slurm.run_array(tmp_path / "job", 2, None, Recorder())


class Signalled(Recorder):
    """An observer in whose second and third moment a signal comes."""

    def tick(self) -> None:
        super().tick()
        if self.ticks in (2, 3):
            signal.raise_signal(signal.SIGTERM)


def test_a_signal_lets_an_array_save_and_a_second_one_cancels_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = ["RUNNING|n"] * 3
    pretend(tmp_path, monkeypatch, answers(tmp_path, *running))
    with pytest.raises(StoppedError):
        slurm.run_array(tmp_path / "job", 2, None, Signalled())
    cancelled = (tmp_path / "cancelled").read_text().splitlines()
    assert cancelled == ["--state=PENDING 7", "--signal=TERM 7", "7"]


@pytest.mark.parametrize(
    ("state", "cancelled"),
    [("RUNNING", ["--signal=TERM 7", "7"]), ("PENDING", ["7", "7"])],
)
def test_a_job_that_waits_is_cancelled_by_the_first_signal(
    state: str, cancelled: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(tmp_path, monkeypatch, answers(tmp_path, *[f"{state}|None"] * 3))
    attempt = Attempt(tmp_path, {}, Signalled())
    assert slurm.run_batch(tmp_path / "job", attempt, None) == (0, [signal.SIGTERM] * 2)
    assert (tmp_path / "cancelled").read_text().splitlines() == cancelled


SRUN = """\
#!/bin/bash
for word in "$@"; do
    case $word in --nodelist=*) export NODE=${word#--nodelist=};; --*) ;; *) break;; esac
    shift
done
exec "$@"
"""
PYTHON = """\
#!/bin/bash
[ "$1" = -c ] && exec {python} "$@"
who=${{RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER:-all}}
echo "${{NODE:-first}} ${{MARK:-none}} $RAY_AUTH_MODE $RAY_AUTH_TOKEN $who $*" >> {log}
"""


def on_machines(nodes: int, folder: Path, setup: str) -> tuple[int, list[list[str]], str]:
    """Run Ray's batch script where commands named like Slurm's stand for machines n1, n2, ...

    (exit code, words of each call of rlsp: machine, $MARK, authentication, token, who can connect,
    arguments; output)
    """
    names, log = " ".join(f"n{number + 1}" for number in range(nodes)), folder / "log"
    commands = {
        "scontrol": f"#!/bin/bash\nprintf '%s\\n' {names}\n",
        "scancel": "#!/bin/bash\n",
        "srun": SRUN,
    }
    commands["python"] = PYTHON.format(python=sys.executable, log=log)
    for name, text in commands.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    cluster = Cluster.model_validate(
        {"nodes": nodes, "gpus_per_node": 2, "slurm": {"setup": setup}}
    )
    ours = str(folder / "python")
    script = ray_batch_script(
        cluster, "x", ["/opt/python"], ours, Path("/r/job.json"), Path("/r/stop"), {}
    )
    environment = {
        **os.environ,
        "PATH": f"{folder}:{os.environ['PATH']}",
        "RAY_AUTH_TOKEN": "of-the-site",
    }
    done = subprocess.run(
        ["bash", "-c", script], env=environment, capture_output=True, text=True, check=False
    )
    return (
        done.returncode,
        [line.split() for line in log.read_text().splitlines()],
        done.stdout + done.stderr,
    )


def test_rays_nodes_have_one_token_and_each_machine_is_set_up_once(tmp_path: Path) -> None:
    setup = f"set -x\nexport MARK=$MARK-set-up\necho ${{NODE:-first}} >> {tmp_path}/setups"
    code, calls, said = on_machines(3, tmp_path, setup)
    assert code == 0, said
    tokens = {call[3] for call in calls}
    (token,) = tokens
    assert (
        len(token) == 64
        and token not in said
        and not any(token in word for call in calls for word in call[4:])
    )
    assert {call[2] for call in calls} == {"token"} and {call[4] for call in calls} == {"all"}
    assert sorted((tmp_path / "setups").read_text().split()) == ["first", "n2", "n3"]
    nodes = [call for call in calls if "node" in call]
    assert sorted(call[0] for call in nodes) == ["n1", "n2", "n3"]
    assert {call[1] for call in calls if call[0] in ("first", "n1")} == {"-set-up"}, (
        "what the first has exported"
    )
    assert all("--num-gpus=2" in call and "--num-cpus=8" in call for call in nodes)


def test_a_head_of_one_machine_on_slurm_listens_to_it_alone(tmp_path: Path) -> None:
    code, calls, said = on_machines(1, tmp_path, "")
    assert code == 0 and {call[4] for call in calls} == {"0"}, said


def on_slurm(folder: Path, script: str) -> tuple[int, str]:
    """Run a batch script; (exit code, what it printed)."""
    (folder / "job.sbatch").write_text(script)
    code, _ = slurm.run_batch(folder / "job.sbatch", Attempt(folder, {}, Recorder()), None)
    return code, (folder / "stdout.log").read_text() + (folder / "stderr.log").read_text()


@pytest.mark.usefixtures("slurm")
def test_a_step_asks_for_the_cpus_of_its_job_and_has_what_the_setup_has_set_there(
    tmp_path: Path,
) -> None:
    setup = 'export MARK="it\'s set in step $SLURM_STEP_ID"\n[ "$SLURM_STEP_ID" ] && echo once >> $RLSP_EXIT_FILE.setup'
    cluster = Cluster.model_validate({"launcher": "slurm", "slurm": {"cpus": 2, "setup": setup}})
    show = ["bash", "-c", 'echo "$SRUN_CPUS_PER_TASK CPUs, $MARK, $1"', "-", "a 'word'"]
    code, said = on_slurm(tmp_path, batch_script(cluster, "show", show, {}))
    assert (code, said) == (0, "2 CPUs, it's set in step 0, a 'word'\n")
    assert (tmp_path / "exit_code.setup").read_text() == "once\n"


@pytest.mark.usefixtures("slurm")
def test_a_setup_that_leaves_ends_the_job_with_its_code(tmp_path: Path) -> None:
    cluster = Cluster.model_validate(
        {"launcher": "slurm", "slurm": {"setup": "echo no such module >&2\nexit 3"}}
    )
    code, said = on_slurm(tmp_path, batch_script(cluster, "show", ["echo", "trained"], {}))
    assert code == 3 and "no such module" in said and "trained" not in said


@pytest.mark.parametrize(
    ("asked", "cpus"),
    [
        ({"gpus_per_node": 8}, 32),
        ({"gpus_per_node": 8, "slurm": {"cpus": 96}}, 96),
        ({"gpus_per_node": 8, "slurm": {"options": ["--cpus-per-gpu=12"]}}, None),
        ({"gpus_per_node": 8, "slurm": {"options": ["-c 12"]}}, None),
        ({"gpus_per_node": 8, "slurm": {"options": ["-C h100", "--exclusive"]}}, 32),
        ({}, None),
    ],
)
def test_cpus_follow_the_gpus_unless_the_recipe_says_otherwise(
    asked: dict[str, Any], cpus: int | None
) -> None:
    cluster = Cluster.model_validate({"launcher": "slurm", **asked})
    assert cpus_of(cluster) == cpus
    lines = batch_script(cluster, "x", ["true"], {}).splitlines()
    assert [line for line in lines if "--cpus-per-task" in line] == (
        [f"#SBATCH --cpus-per-task={cpus}"] if cpus else []
    )


@pytest.mark.parametrize(
    "slurm",
    [{"options": ["--x\nrm -r y"]}, {"options": [" -c 8"]}, {"options": ["constraint=h100"]}, {"options": [""]},
     {"partition": "a\nrm -r y"}, {"account": " "}, {"time": "1:00\n"}],
)  # fmt: skip
def test_what_is_no_single_line_of_a_batch_script_is_refused(slurm: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="should match pattern"):
        Cluster.model_validate({"slurm": slurm})
