"""What a person reads in a terminal and in a log."""

import json
from pathlib import Path

import pytest
from rich.console import Console

from rlsp_cli.cli import output
from rlsp_cli.cli.output import print_table
from rlsp_cli.launch.pace import Pace, duration
from rlsp_cli.launch.progress import StageProgress
from rlsp_cli.runs.paths import StagePaths
from rlsp_cli.runs.stream import append_rows

COLUMNS = [
    "bench",
    "model",
    "accuracy % (95%)",
    "tokens",
    "answered %",
    "repetition",
    "backtrack",
    "what it is",
]
ROWS = [
    [
        "heldout",
        model,
        f"{9 + n}.2 (12.1 to 19.1)",
        "30.3",
        "100.0",
        "0.016",
        "0.04",
        "sums of two numbers " * 4,
    ]
    for n, model in enumerate(("sft", "ppo"))
]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal of 80 columns."""
    for name, value in {
        "COLUMNS": "80",
        "FORCE_COLOR": "1",
        "TERM": "dumb",
        "NO_COLOR": "1",
    }.items():
        monkeypatch.setenv(name, value)


def test_a_table_that_is_wider_than_the_terminal_goes_on_below(
    terminal: None, capsys: pytest.CaptureFixture[str]
) -> None:
    print_table(COLUMNS, ROWS, "Evaluation", keys=2)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    heads = [line for line in lines if line.startswith("bench")]
    assert len(heads) == 2 and all(line.split()[1] == "model" for line in heads)
    for name in COLUMNS:
        assert sum(name in line for line in lines) >= 1, name
    assert any("10.2 (12.1 to 19.1)" in line for line in lines), "a cell is not broken"


def test_a_table_in_a_pipe_has_a_line_for_each_row(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(COLUMNS, ROWS, "Evaluation", keys=2)
    assert len(capsys.readouterr().out.splitlines()) == 2 + len(ROWS)


def test_numbers_stand_on_the_right(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["what", "n", "place"], [["a", "5", "x"], ["b", "1,234", "yy"]])
    assert capsys.readouterr().out.splitlines()[1:] == ["a         5  x    ", "b     1,234  yy   "]


def test_a_log_line_is_whole_and_has_the_time_and_what_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("rlsp_cli.launch.progress._PLAIN_EVERY_S", -1.0)
    row = {
        "total_steps": 4,
        "loss": 1.0,
        "response/tokens": 2.0,
        "kl/response": 0.1,
        "time/tokens_per_s": 8.0,
    }
    progress = StageProgress("ppo", StagePaths(tmp_path), Console(width=80))
    for step in range(2):
        append_rows(tmp_path / "metrics.jsonl", [{"step": step, **row, "text": "words " * 30}])
        progress.tick()
    first, second = capsys.readouterr().out.splitlines()
    assert " ppo 1/4: words" in first and first.endswith("8 tok/s")
    assert " ppo 2/4: words" in second and second.endswith(" left") and second[:4].isdigit()


def test_what_an_earlier_attempt_wrote_is_no_progress(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rlsp_cli.launch.progress._PLAIN_EVERY_S", -1.0)
    rows = [{"step": n, "total_steps": 9, "loss": 1.0, "time/step": n} for n in range(5)]
    append_rows(tmp_path / "metrics.jsonl", rows)
    console = Console(width=80, record=True, quiet=False)
    progress = StageProgress("sft", StagePaths(tmp_path), console)
    (tmp_path / "metrics.jsonl").unlink()
    append_rows(tmp_path / "metrics.jsonl", rows[:3])
    progress.tick()
    assert console.export_text(clear=False) == ""
    append_rows(tmp_path / "metrics.jsonl", [{**rows[3], "time/step": 7.0}])
    progress.tick()
    assert " sft 4/9: loss 1.000" in console.export_text()


def test_the_rest_takes_as_long_as_what_was_done() -> None:
    pace = Pace()
    assert pace.left("", 10, 100, now=50.0) is None
    assert pace.left("", 20, 100, now=60.0) == "1 min"
    assert pace.left("", 100, 100, now=90.0) is None
    assert pace.left("another bench", 1, 100, now=91.0) is None
    assert [duration(s) for s in (12.4, 240, 7500)] == ["12 s", "4 min", "2 h 5 min"]


def test_json_is_in_an_envelope(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_json("thing", {"a": 1})
    assert json.loads(capsys.readouterr().out) == {"schema": "rlsp.thing/1", "data": {"a": 1}}
