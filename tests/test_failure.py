"""Errors that cross from one process to the one that waits for it: error.json, exit codes, signals."""

import signal
from pathlib import Path

import pytest

from rlsp_cli.errors import (
    JobError,
    NotReadyError,
    RlspError,
    SafetyError,
    StageError,
    StoppedError,
)
from rlsp_cli.runs.failure import VARIABLE, read_failure, report, reported_exit_code, write_failure

ERRORS = [
    NotReadyError("no GPU"),
    SafetyError("too many rewards fail"),
    StoppedError("stopped", signal.SIGTERM),
    JobError("lost", exit_code=23),
]


@pytest.fixture
def error_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "error.json"
    monkeypatch.setenv(VARIABLE, str(path))
    return path


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_that_a_process_reports_is_the_same_one_for_its_parent(
    error: RlspError, tmp_path: Path
) -> None:
    write_failure(tmp_path / "error.json", error)
    found = read_failure(tmp_path / "error.json")
    assert (type(found), str(found), found.exit_code) == (type(error), str(error), error.exit_code)


def test_the_first_reported_reason_stands(
    error_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert reported_exit_code() == 0
    write_failure(error_file, SafetyError("too many rewards fail"))
    assert report(JobError("the Ray job failed")) == reported_exit_code() == SafetyError.exit_code
    assert str(read_failure(error_file)) == "too many rewards fail"
    assert capsys.readouterr().err == "rlsp: the Ray job failed\n"


def test_a_stage_that_fails_has_the_exit_code_of_its_cause() -> None:
    error = StageError(
        "ppo", StoppedError("stopped", signal.SIGHUP), "go on with: rlsp ppo my.yaml --resume"
    )
    assert error.exit_code == 129
    assert str(error) == "ppo: stopped; go on with: rlsp ppo my.yaml --resume"
