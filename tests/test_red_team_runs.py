"""Run folders that two processes want, that a signal hits at a bad moment, or that were damaged."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from rich.console import Console

from rlsp_cli.errors import DataError, StageError, UsageError
from rlsp_cli.evals.behaviour import read_responses
from rlsp_cli.evals.saved_answers import read_answers
from rlsp_cli.launch import workflow
from rlsp_cli.launch.start import Start, starting_run
from rlsp_cli.launch.workflow import run_recipe
from rlsp_cli.report import summarise_run, write_report
from rlsp_cli.runs.lock import LOCK, locked
from rlsp_cli.runs.run import newest_run, open_run
from tests.conftest import load_checked, rlsp

pytestmark = pytest.mark.integration

PROBLEMS = [{"problem": "1 + 1?", "answer": "2"}, {"problem": "2 + 2?", "answer": "4"}]

BENCH = """\
name: sums
description: Two sums.
problems: 2
source: ./rows.jsonl
columns: {problem: problem, answer: answer}
prompt: {template: "{problem}", origin: this test}
verifier: {use: exact_match}
sampling: {samples: 1, temperature: 1.0, top_p: 1.0, max_new_tokens: 8, origin: this test}
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


def test_a_new_run_in_a_folder_that_is_being_written_is_refused(
    tiny_recipe: Path, tmp_path: Path
) -> None:
    recipe = load_checked(tiny_recipe)
    new = partial(starting_run, recipe, Start(tmp_path / "run"))
    with (
        held_elsewhere(tmp_path / "run") as pid,
        pytest.raises(UsageError, match=f"process {pid} "),
        new(),
    ):
        pass
    with new() as run:
        assert run.paths.manifest.exists()


def test_a_job_typed_by_hand_does_not_write_beside_the_one_that_runs(evaluated: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "rlsp_cli.backends.local",
        str(evaluated / "eval" / "job.json"),
    ]
    with held_elsewhere(evaluated / "eval"):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "is writing here" in done.stderr


def test_a_signal_that_comes_when_a_stage_is_done_leaves_it_done_and_the_next_one_alone(
    tiny_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workflow, "launch", lambda job, run, screen: [signal.SIGINT])
    recipe, start = load_checked(tiny_recipe), Start(tmp_path / "run")
    with pytest.raises(
        StageError, match="ppo: stopped before it began; go on with: again"
    ) as error:
        run_recipe(recipe, ["sft", "ppo"], start, Console(stderr=True), lambda _: "again")
    assert error.value.exit_code == 130
    assert open_run(tmp_path / "run").status().stages == {"sft": "done", "ppo": "stopped"}


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


DAMAGE = (
    b"",
    b'{"id": "x", ',
    b"\0" * 64,
    b"\xff\xfe",
    b"[]",
    b"5",
    b"null",
    b'"text"',
    b"{}",
    b'{"data": 5}',
    b"[" * 10**5,
)


@pytest.mark.parametrize("text", DAMAGE)
@pytest.mark.parametrize("name", ["status.json", "manifest.json", "eval/results.json"])
def test_a_damaged_document_is_named_with_the_next_move(
    name: str, text: bytes, evaluated: Path, tmp_path: Path
) -> None:
    run = shutil.copytree(evaluated, tmp_path / "run")
    (run / name).write_bytes(text)
    with pytest.raises(DataError) as error:
        summarise_run(run)
    words = str(error.value)
    assert (
        words.startswith(f"{run / name}: damaged: ")
        and "--resume writes it anew" in words
        and "\n" not in words
    )


@pytest.mark.parametrize("text", [text for text in DAMAGE if text])
def test_a_damaged_row_is_named_with_its_line(text: bytes, evaluated: Path, tmp_path: Path) -> None:
    run = shutil.copytree(evaluated, tmp_path / "run")
    (samples,) = run.glob("eval/*/*/samples.jsonl")
    first, *rest = samples.read_bytes().splitlines(keepends=True)
    samples.write_bytes(b"".join([first, text + b"\n", *rest]))
    for read in (
        lambda: list(read_responses(run)),
        lambda: read_answers(run),
        lambda: write_report(run),
    ):
        with pytest.raises(DataError) as error:
            read()
        assert str(error.value).startswith(f"{samples}:2: damaged: ") and "\n" not in str(
            error.value
        )


@pytest.mark.parametrize(
    "row",
    [
        {"step": "1"},
        {"step": None},
        {"loss": 1.0},
        {"step": 1, "loss": "low"},
        {"step": 1, "loss": [1]},
        {"step": 1, "loss": None},
    ],
)
@pytest.mark.parametrize("stage", ["sft", "ppo"])
def test_metrics_that_are_no_numbers_are_named(
    stage: str, row: object, evaluated: Path, tmp_path: Path
) -> None:
    run = shutil.copytree(evaluated, tmp_path / "run")
    (run / stage).mkdir()
    (run / stage / "metrics.jsonl").write_text('{"step": 0}\n' + json.dumps(row) + "\n")
    with pytest.raises(DataError, match=rf"{stage}/metrics.jsonl:2: damaged: "):
        summarise_run(run)


@pytest.mark.parametrize(
    "change",
    [{"models": {"x": {"path": "p", "benches": {"sums": {"greedy": {}}}}}}, {"comparisons": [{}]}],
)
def test_results_of_another_version_are_named(
    change: dict[str, object], evaluated: Path, tmp_path: Path
) -> None:
    run = shutil.copytree(evaluated, tmp_path / "run")
    results = run / "eval" / "results.json"
    document = json.loads(results.read_bytes())
    results.write_text(json.dumps(document | {"data": document["data"] | change}))
    with pytest.raises(
        DataError, match=r"eval/results.json: holds other results than this version writes \("
    ):
        summarise_run(run)


def test_what_was_moved_away_is_written_anew_by_a_resume(evaluated: Path, tmp_path: Path) -> None:
    run = shutil.copytree(evaluated, tmp_path / "run")
    names = ("status.json", "manifest.json", "eval/results.json")
    before = {name: json.loads((run / name).read_bytes()).keys() for name in names}
    for name in names:
        (run / name).unlink()
    rlsp(
        "eval",
        "--bench",
        evaluated.parent / "sums.yaml",
        "--gold",
        "--out",
        run,
        "--resume",
        cwd=evaluated.parent,
    )
    assert {name: json.loads((run / name).read_bytes()).keys() for name in names} == before
    assert summarise_run(run).status.state == "done"


def test_a_damaged_run_hides_no_other_from_the_list(
    evaluated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        shutil.copytree(evaluated, tmp_path / "runs" / "x" / name)
    (tmp_path / "runs" / "x" / "a" / "manifest.json").write_bytes(b"\0" * 10)
    rows = json.loads(rlsp("runs", "list", "--json", cwd=tmp_path).stdout)["data"]
    assert sorted(row["state"][:4] for row in rows) == ["done", "unre"]
    monkeypatch.chdir(tmp_path)
    assert newest_run() == Path("runs/x/b")
