"""`rlsp view`: files in pieces while they grow, names of runs, who may read, and what is exported."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from rlsp_cli.errors import UsageError
from rlsp_cli.rewards.lexicon import load_lexicon
from rlsp_cli.runs.paths import RunPaths
from rlsp_cli.runs.stream import append_rows, drop_rows_from, read_rows
from rlsp_cli.view import Library, export_view, run_folders
from rlsp_cli.view import row_file as row_file_module
from rlsp_cli.view.page import STATIC
from rlsp_cli.view.row_file import PIECE, RowFile
from rlsp_cli.view.server import view_app
from tests.conftest import rlsp
from tests.made_run import add_samples, add_steps, made_run, rollout


@pytest.fixture
def run(tiny_recipe: Path, tmp_path: Path) -> RunPaths:
    paths = made_run(tiny_recipe, tmp_path / "run")
    add_steps(paths, range(12))
    return paths


def client(library: Library) -> TestClient:
    return TestClient(view_app(library, "secret"), base_url="http://127.0.0.1")


def ids(rows: RowFile) -> list[str]:
    """All ids of light rows, asked for as the page asks."""
    found: list[str] = []
    while lines := rows.light_rows(len(found)):
        found += [json.loads(line)[1] for line in lines]
    return found


def row(n: int) -> dict[str, Any]:
    return rollout(n, f"p{n}", f"alternatively, let me verify {n}", right=n % 2 == 0)


def test_rows_come_as_the_file_grows_and_a_line_that_is_not_whole_waits(tmp_path: Path) -> None:
    file, rows = tmp_path / "rollouts.jsonl", RowFile(tmp_path / "rollouts.jsonl", load_lexicon())
    assert ids(rows) == []
    append_rows(file, [row(0)])
    assert ids(rows) == ["p0"]

    line = json.dumps(row(1)) + "\n"
    with file.open("a") as stream:
        stream.write(line[:40])
        stream.flush()
        assert ids(rows) == ["p0"]
        stream.write(line[40:])
    assert ids(rows) == ["p0", "p1"]
    assert [whole["response"] for whole in rows.rows(1, 2)] == ["alternatively, let me verify 1"]


def test_a_large_file_is_read_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_file_module, "_BYTES_AT_ONCE", 3000)
    file = tmp_path / "rollouts.jsonl"
    append_rows(file, [row(n) for n in range(200)])

    rows = RowFile(file, load_lexicon())
    first = rows.light_rows(0)
    assert 0 < len(first) < 20
    assert ids(rows) == [f"p{n}" for n in range(200)]
    assert [one["id"] for one in rows.piece(1)] == [f"p{n}" for n in range(PIECE, 2 * PIECE)]


def test_a_resumed_run_that_writes_its_steps_again_is_read_anew(tmp_path: Path) -> None:
    file = tmp_path / "rollouts.jsonl"
    append_rows(file, [row(n) for n in range(5)])
    rows = RowFile(file, load_lexicon())
    assert len(ids(rows)) == 5 and rows.times_anew == 0

    drop_rows_from(file, 3)
    append_rows(
        file, [rollout(3, f"again{n}", "a longer response than before", True) for n in range(9)]
    )
    rows.light_rows(5)
    assert rows.times_anew == 1
    assert ids(rows) == ["p0", "p1", "p2", *(f"again{n}" for n in range(9))]


def test_damaged_lines_are_counted_and_hide_no_others(tmp_path: Path) -> None:
    file = tmp_path / "rollouts.jsonl"
    append_rows(file, [row(0)])
    with file.open("a") as stream:
        stream.write('{"id": "x"\n[1]\n{"id": "no response"}\n' + "[" * 100_000 + "\n")
    append_rows(file, [row(1)])

    rows = RowFile(file, load_lexicon())
    assert ids(rows) == ["p0", "p1"] and rows.damaged == 4
    assert [one["id"] for one in rows.piece(0)] == ["p0", "p1"]


def test_damaged_metrics_are_counted_and_hide_no_others(run: RunPaths) -> None:
    file = run.stage("ppo").metrics
    before = len(list(read_rows(file)))
    with file.open("a") as stream:
        stream.write('{"step": 1, "lo\n[1]\n{"loss": 1}\n{"step": 1, "loss": NaN}\n')
    append_rows(file, [{"step": 99, "loss": 0.5}])

    answer = json.loads(Library([run.root]).answer("metrics/0/ppo"))
    assert answer["damaged"] == 4
    assert len(answer["rows"]) == before + 1 and answer["rows"][-1] == {"step": 99, "loss": 0.5}


def test_behaviours_are_marked_and_counted_as_the_lexicon_finds_them(tmp_path: Path) -> None:
    file, lexicon = tmp_path / "rollouts.jsonl", load_lexicon()
    append_rows(file, [row(0), rollout(0, "p", "ten", True)])
    rows = RowFile(file, lexicon)
    ids(rows)
    text = row(0)["response"]
    assert lexicon.marks(text)
    assert rows.marks(0) == [lexicon.marks(text), []]
    counts = [json.loads(line) for line in rows.behaviour_counts(0)]
    assert counts == [list(lexicon.counts(text).values()), [0] * len(lexicon.behaviours)]
    assert rows.behaviour_counts(2) == []


def test_the_answers_say_what_a_run_has(run: RunPaths) -> None:
    add_samples(run, "sft", "sums", {"a": 0.0})
    add_samples(run, "ppo", "sums", {"a": 1.0})
    library = Library([run.root])
    (found,) = json.loads(library.answer("runs"))["runs"]
    assert [(file["model"], file["bench"]) for file in found["files"]] == [
        ("ppo", None),
        ("sft", "sums"),  # in the order in which they were evaluated
        ("ppo", "sums"),
    ]
    metrics = json.loads(library.answer("metrics/0/ppo", 10))
    assert [one["step"] for one in metrics["rows"]] == [10, 11]

    add_steps(run, range(12, 30))
    metrics = json.loads(library.answer("metrics/0/ppo", 12))
    assert [one["step"] for one in metrics["rows"]] == list(range(12, 30))
    assert [alarm["kind"] for alarm in metrics["alarms"]] == ["wrong_over_right"]


def test_text_that_no_encoding_has_is_served_whole(run: RunPaths) -> None:
    append_rows(run.stage("ppo").rollouts, [rollout(12, "odd", "a \ud83d b\u2028</script>", True)])
    library = Library([run.root])
    library.answer("runs")
    library.answer("index/0/0")
    last = json.loads(library.answer("rows/0/0/2"))[-1]
    assert last["response"] == "a \ud83d b\u2028</script>"


def test_runs_are_named_by_folders_names_and_what_holds_them(
    tiny_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    one, two = (made_run(tiny_recipe, tmp_path / "runs" / "tiny" / n).root for n in ("1", "2"))
    newest = max(
        one, two, key=lambda root: json.loads((root / "manifest.json").read_text())["created"]
    )

    assert [path.resolve() for path in run_folders(["runs/tiny/1"])] == [one]
    assert [path.resolve() for path in run_folders(["runs"])] == [one, two]
    assert len(run_folders([])) == len(run_folders(["tiny"])) == 1
    assert newest.name in {"1", "2"}
    with pytest.raises(UsageError, match="no run here"):
        run_folders(["nothing"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no run in this folder"):
        run_folders(["empty"])

    shown = json.loads(Library([one, two]).answer("runs"))["runs"]
    assert [found["name"] for found in shown] == ["1", "2"]


def test_a_run_whose_recipe_cannot_be_read_is_shown_with_a_note(run: RunPaths) -> None:
    run.resolved.write_text("no recipe")
    (found,) = json.loads(Library([run.root]).answer("runs"))["runs"]
    assert "its recipe cannot be read" in found["note"] and found["files"]


def test_nobody_reads_without_the_token_or_under_another_name(run: RunPaths) -> None:
    at = client(Library([run.root]))
    assert at.get("/secret/data/runs").status_code == 200
    for path in ("/", "/data/runs", "/secreT/data/runs", "/secret2/", "//data/runs"):
        assert at.get(path).status_code == 404

    # A page of another site that lets its name point to this machine sends that name.
    assert at.get("/secret/", headers={"Host": "evil.example"}).status_code == 400


@pytest.mark.parametrize(
    "path",
    [
        "..%2fpage.py",
        "%2e%2e/page.py",
        "data/rows/0/0/x",
        "data/rows/9/0/0",
        "data/runs/1",
        "data/x",
    ],
)
def test_an_address_that_names_nothing_is_not_found(path: str, run: RunPaths) -> None:
    at = client(Library([run.root]))
    assert at.get("/secret/data/runs").status_code == 200
    assert at.get(f"/secret/{path}").status_code == 404
    assert at.get("/secret/data/index/0/0?start=x").status_code == 404


def test_the_page_may_load_nothing_from_elsewhere(run: RunPaths) -> None:
    answer = client(Library([run.root])).get("/secret/")
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert "unsafe" not in policy and answer.headers["Referrer-Policy"] == "no-referrer"

    page = (STATIC / "index.html").read_text()
    (told,) = re.findall(r'Content-Security-Policy" content="(.*?)"', page)
    assert policy.startswith(told)  # that of an exported folder, which has no headers
    assert set(re.findall(r'src="(.*?)"', page)) == {file.name for file in STATIC.glob("*.js")}
    for file in STATIC.glob("*.*"):
        places = set(re.findall(r"https?://[^\"'\s]*", file.read_text()))
        assert places <= {"http://www.w3.org/2000/svg"}, file.name  # a name, which nobody loads
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", file.read_text()
        )


@pytest.mark.integration
def test_an_exported_folder_has_every_row_and_refuses_to_write_over_another(
    run: RunPaths, tmp_path: Path
) -> None:
    rlsp("view", run.root, "--export", tmp_path / "out")
    pieces = sorted((tmp_path / "out/data/rows/0/0").iterdir())
    rows = []
    for piece in pieces:
        name, text = json.loads(
            "[" + piece.read_text().removeprefix("rlsp.arrived(").rstrip(")\n") + "]"
        )
        assert name == f"rows/0/0/{piece.stem}"
        rows += json.loads(text)
    assert len(rows) == 120
    assert 'data-source="exported"' in (tmp_path / "out/index.html").read_text()
    with pytest.raises(UsageError, match="is used"):
        export_view(Library([run.root]), tmp_path / "out")
