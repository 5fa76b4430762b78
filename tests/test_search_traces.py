"""`rlsp data traces search.use=NAME`: from a model to rows that training reads, killed, and told what is wrong."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from rlsp_cli.data import preference_rows, step_rows
from rlsp_cli.recipe.rows import PreferenceRows, StepRows
from tests.conftest import rlsp
from tests.openai_server import Server, serving
from tests.test_search_cli import SCORER, thinking

pytestmark = pytest.mark.integration

READS = '''
from collections.abc import Sequence

from rlsp_cli.rewards import Sample, step_scorer


@step_scorer
def cheat(sample: Sample, steps: Sequence[str]) -> list[float | None]:
    """Whether a step has the answer."""
    return [float(str(sample.reference) in step) for step in steps]
'''


def folder_of(path: Path, problems: int) -> Path:
    """Sums as problems, which share an id, and scorers of steps."""
    rows = [{"id": "same", "problem": f"1+{n}", "answer": str(n + 1)} for n in range(problems)]
    (path / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (path / "sums.py").write_text(SCORER)
    (path / "cheat.py").write_text(READS)
    return path


def words(server: Server, *more: str, out: str = "out.jsonl") -> list[str]:
    """A search for the answers to sums, of which the model gets one in three right."""
    return [
        "data", "traces", "sums.jsonl", "--out", out, f"sample.url={server.url}", "sample.model=m",
        "verifier=exact_match", "search={use: beam, beams: 4, children: 4}", *more,
    ]  # fmt: skip


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_one_search_is_written_in_four_ways_and_asks_once(tmp_path: Path) -> None:
    folder_of(tmp_path, 12)
    with serving(thinking) as server:
        for write in ("paths", "linear", "pairs", "values"):
            more = (f"search.write={write}", "trees=trees", "--json")
            done = rlsp(*words(server, *more, out=f"{write}.jsonl"), cwd=tmp_path)
            card = json.loads(done.stdout)["data"]
            assert card["search"]["write"] == write and card["search"]["beams"] == 4
            if write == "paths":
                asked = len(server.asked)
        # Sixteen sums, of which the best four go on four times each.
        assert asked == len(server.asked) == 12 * 32

    paths = rows_of(tmp_path / "paths.jsonl")
    assert all(row["solution"].endswith(f"\\boxed{{{row['answer']}}}") for row in paths)

    chains = [row for row in rows_of(tmp_path / "linear.jsonl") if row["returns"]]
    assert chains and all(row["solution"].count("boxed") == row["returns"] + 1 for row in chains)

    pairs = list(preference_rows(PreferenceRows(source=str(tmp_path / "pairs.jsonl"))))
    assert pairs and all(pair.chosen != pair.rejected for pair in pairs)

    labelled = list(step_rows(StepRows(source=str(tmp_path / "values.jsonl"))))
    right = [row for row in labelled if row.labels[-1] == 1]
    assert {len(row.steps) for row in labelled} == {2} and 0 < len(right) < len(labelled)
    assert {row.prompt for row in labelled} == {f"1+{n}" for n in range(12)}


def test_a_step_scorer_guides_the_search_and_the_verifier_judges_it(tmp_path: Path) -> None:
    folder_of(tmp_path, 12)
    scored = "search={use: beam, beams: 1, children: 4, scorer: {use: ./sums.py:sums}}"
    with serving(thinking) as server:
        rlsp(*words(server, scored), cwd=tmp_path)

    # It follows a right sum wherever there is one; without a scorer it would follow the first.
    (trees,) = (tmp_path / "out.trees").glob("trees-*.jsonl")
    rows = rows_of(trees)
    right = {row["id"] for row in rows if row.get("parent") == 0 and _is_right(row["text"])}
    solved = {row["problem"] for row in rows_of(tmp_path / "out.jsonl")}
    assert solved == {f"1+{id.partition(':')[0]}" for id in right} and len(solved) > 3
    assert sum("score" in row for row in rows) == 12 * 8


def _is_right(step: str) -> bool:
    asked, _, found = step.partition("=")
    return sum(map(int, asked.split("+"))) == int(found)


def test_problems_of_a_bench_are_not_searched(tmp_path: Path) -> None:
    folder_of(tmp_path, 4)
    (tmp_path / "held.jsonl").write_text('{"problem": "1+2", "answer": "3"}\n')
    recipe = {
        "name": "r",
        "model": {"path": "m"},
        "data": {"heldout": {"source": "./held.jsonl"}},
        "reward": {"correctness": {"use": "exact_match"}},
        "eval": {"benches": ["heldout"]},
    }
    (tmp_path / "r.yaml").write_text(json.dumps(recipe))
    with serving(thinking) as server:
        rlsp(*words(server, "decontaminate=r.yaml"), cwd=tmp_path)
        asked = {one["messages"][0]["content"] for one in server.asked}

    assert asked == {"1+0", "1+1", "1+3"}


def test_a_killed_search_for_traces_asks_for_nothing_twice(tmp_path: Path) -> None:
    folder_of(tmp_path, 12)
    with serving(thinking, seconds=0.02) as server:
        _kill_when(server, 100, words(server), tmp_path)
        killed = len(server.asked)
        rlsp(*words(server), cwd=tmp_path)

    asked = Counter((one["seed"], str(one["messages"])) for one in server.asked)
    assert killed < len(asked) == 12 * 32
    assert sum(asked.values()) - len(asked) <= server.most  # at most what was under way


def _kill_when(server: Server, many: int, command: list[str], folder: Path) -> None:
    quiet = subprocess.DEVNULL
    whole = [sys.executable, "-m", "rlsp_cli", *command]
    running = subprocess.Popen(whole, cwd=folder, stderr=quiet, stdout=quiet)
    while len(server.asked) < many and running.poll() is None:
        time.sleep(0.005)
    os.kill(running.pid, signal.SIGKILL)
    running.wait()


@pytest.mark.parametrize(
    ("more", "code", "told"),
    [
        (["search.budget=20"], 3, "4 of them: 20 tokens reached no whole response; raise"),
        (["search.children=2", "search.beams=2", "answer=problem"], 3, "no whole response is right"),
        (["search.scorer={use: './sums.py:sums', blind: true}"], 3, "gave no node a score"),
        (["search.scorer={use: './cheat.py:cheat'}"], 2, "cheat reads the reference"),
        (["search.scorer={use: prm, model: mine}"], 2, "asks 'mine'; name its recipe"),
        (["search.childrn=2"], 3, 'unknown option "childrn"'),
        (["search.use=beem"], 3, "unknown search 'beem' - did you mean \"beam\"?"),
        (["search.write=chains"], 3, "search.write"),
        (["search.write=linear", "search.returns=none.txt"], 3, "cannot read the words"),
        (["sample.samples=3"], 2, "a search grows one tree for each problem"),
        (["search.write=pairs", "--select", "distinct"], 2, "chooses among traces, not pairs"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_and_what_was_sampled_stays(
    more: list[str], code: int, told: str, tmp_path: Path
) -> None:
    folder_of(tmp_path, 4)
    with serving(thinking) as server:
        done = rlsp(*words(server, *more), cwd=tmp_path, check=False)
        asked = len(server.asked)

    last = done.stderr.splitlines()[-1]
    assert (done.returncode, told in last) == (code, True), done.stderr
    assert "Traceback" not in done.stderr and not (tmp_path / "out.jsonl").exists()
    if asked:
        assert "the trees are kept in out.trees" in last
        (trees,) = (tmp_path / "out.trees").glob("trees-*.jsonl")
        assert sum("text" in row for row in rows_of(trees)) == asked


def test_a_search_without_a_model_is_a_usage_error(tmp_path: Path) -> None:
    folder_of(tmp_path, 4)
    arguments = ("data", "traces", "sums.jsonl", "--out", "out.jsonl", "search.use=beam")
    done = rlsp(*arguments, cwd=tmp_path, check=False)

    assert done.returncode == 2 and "name it, sample.model=MODEL" in done.stderr
