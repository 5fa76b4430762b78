"""Following a Slurm job whose controller does not always answer; commands of that name stand in for Slurm's."""

import os
from pathlib import Path

import pytest

from rlsp_cli.errors import NotReadyError
from rlsp_cli.launch import slurm

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


def follow(failures: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[tuple[int, list[int]], int]:
    """What run_batch returns when squeue fails so many times in a row, and how often progress was looked at."""
    commands = {"sbatch": SBATCH, "squeue": SQUEUE.format(asked=folder / "asked", failures=failures)}
    for name, text in commands.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setattr(slurm, "_POLL_S", 0.01)
    looks: list[None] = []
    done = slurm.run_batch(folder / "job", os.environ, folder, lambda: looks.append(None), print, None)
    return done, len(looks)


def test_a_busy_controller_is_asked_again_while_the_job_is_watched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert follow(2, tmp_path, monkeypatch) == ((0, []), 4)


def test_a_controller_that_stays_away_is_told_with_the_job_that_may_run_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NotReadyError, match=r"Socket timed out .*; Slurm job 7 may still run: `scancel 7`"):
        follow(10_000, tmp_path, monkeypatch)
