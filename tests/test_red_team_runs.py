"""Run folders that two processes want, that a signal hits at a bad moment, or that were damaged."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from rich.console import Console

from rlsp_cli.errors import StoppedError, UsageError
from rlsp_cli.launch import run as launch_run
from rlsp_cli.launch.run import run_stages, starting_run
from rlsp_cli.runs.lock import LOCK, locked
from rlsp_cli.runs.run import create_run
from tests.conftest import load_checked, rlsp

PROBLEMS = [{"problem": "1 + 1?", "answer": "2"}, {"problem": "2 + 2?", "answer": "4"}]

BENCH = """\
name: sums
description: Two sums.
problems: 2
source: ./rows.jsonl
columns: {problem: problem, answer: answer}
prompt: {template: "{problem}", origin: this test}
verifier: {use: exact_match}
protocol: {samples: 1, temperature: 1.0, top_p: 1.0, max_new_tokens: 8, origin: this test}
"""


@contextmanager
def held_elsewhere(folder: Path) -> Iterator[int]:
    """The lock of a folder, held by another process; its number."""
    code = f"from pathlib import Path\nfrom rlsp_cli.runs.lock import locked\nwith locked(Path({str(folder)!r})):\n"
    words = [sys.executable, "-c", code + "    print(flush=True)\n    input()\n"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == b"\n"
        yield holder.pid
        holder.kill()


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that scored the references of a bench of two problems."""
    folder = tmp_path_factory.mktemp("evaluated")
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in PROBLEMS))
    (folder / "sums.yaml").write_text(BENCH)
    rlsp("eval", "--bench", folder / "sums.yaml", "--gold", "--out", folder / "run", cwd=folder)
    return folder / "run"


def test_a_run_that_another_process_writes_is_refused_with_its_name(evaluated: Path) -> None:
    bench = evaluated.parent / "sums.yaml"
    before = sorted(evaluated.rglob("*"))
    with held_elsewhere(evaluated) as pid:
        done = rlsp("eval", "--bench", bench, "--gold", "--out", evaluated, "--resume", check=False)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert f"process {pid} on " in done.stderr and str(evaluated) in done.stderr
    assert [path for path in sorted(evaluated.rglob("*")) if path.name != LOCK] == before


def test_a_lock_goes_with_the_process_that_holds_it(tmp_path: Path) -> None:
    with held_elsewhere(tmp_path):
        with pytest.raises(UsageError, match="is writing here"), locked(tmp_path):
            pass
        assert (tmp_path / LOCK).exists()
    with locked(tmp_path):
        assert f"process {os.getpid()} " in (tmp_path / LOCK).read_text()


def test_a_folder_that_nothing_was_written_into_is_not_left_behind(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), locked(tmp_path / "new"):
        raise ZeroDivisionError
    assert not (tmp_path / "new").exists()


def test_a_new_run_in_a_folder_that_is_being_written_is_refused(tiny_recipe: Path, tmp_path: Path) -> None:
    recipe = load_checked(tiny_recipe)
    new = partial(starting_run, recipe, None, tmp_path / "run", resume=False)
    with held_elsewhere(tmp_path / "run") as pid, pytest.raises(UsageError, match=f"process {pid} "), new():
        pass
    with new() as run:
        assert run.paths.manifest.exists()


def test_a_job_typed_by_hand_does_not_write_beside_the_one_that_runs(evaluated: Path) -> None:
    command = [sys.executable, "-m", "rlsp_cli.backends.local", str(evaluated / "eval" / "job.json")]
    with held_elsewhere(evaluated / "eval"):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "is writing here" in done.stderr


def test_a_signal_that_comes_when_a_stage_is_done_leaves_it_done_and_the_next_one_alone(
    tiny_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch_run, "_run_stage", lambda run, stage, console: [signal.SIGINT])
    run = create_run(load_checked(tiny_recipe), None, tmp_path / "run")
    with pytest.raises(StoppedError, match="ppo: stopped before it began; go on with: again") as error:
        run_stages(run, ["sft", "ppo"], Console(stderr=True), "again")
    assert error.value.exit_code == 130
    assert run.status()["stages"] == {"sft": "done", "ppo": "stopped"}


def test_a_job_that_is_done_ends_well_whatever_signal_comes(evaluated: Path) -> None:
    code = (
        "import os, signal, sys\nfrom rlsp_cli.backends.local.__main__ import main\n"
        f"code = main([{str(evaluated / 'eval' / 'job.json')!r}])\n"
        "class Late:\n    def __del__(self): os.kill(os.getpid(), signal.SIGTERM)\n"
        "late = Late()\nsys.exit(code)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_hangup_ends_a_run_like_sigterm(tiny_recipe: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    many = ("sft.max_steps=10000", "sft.epochs=10000", "sft.save_every=10000")
    command = [sys.executable, "-m", "rlsp_cli", "sft", str(tiny_recipe), *many, "--out", str(run)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        while not (run / "sft" / "metrics.jsonl").exists():
            assert process.poll() is None
        process.send_signal(signal.SIGHUP)
        _, said = process.communicate(timeout=300)
    assert process.returncode == 129 and "--resume" in said.splitlines()[-1]
    assert json.loads((run / "status.json").read_text())["state"] == "stopped"
    assert list((run / "sft" / "checkpoints").glob("step-*"))
