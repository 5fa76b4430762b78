"""`rlsp data traces --select`: a selector chooses among all solutions of a problem."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from rlsp_cli.data.raw_trace import RawTrace
from rlsp_cli.rewards.call import Use
from rlsp_cli.rewards.sample import Sample, Score
from rlsp_cli.rewards.selection import Choice
from rlsp_cli.runs.stream import append_rows, read_rows
from rlsp_cli.traces.filters import selected
from tests.conftest import rlsp

RIGHT, WRONG = "\\boxed{4}", "\\boxed{5}"


def trace(number: int, problem: str, solution: str, answer: str | None = "4") -> RawTrace:
    return RawTrace(f"f:{number}", str(number), problem, solution, answer)


ROWS = [
    trace(1, "2 + 2?", RIGHT),
    trace(2, "1 + 3?", WRONG),
    trace(3, "2  +  2?", WRONG),
    trace(4, "1 + 3?", WRONG),
    trace(5, "9?", "?", answer=None),
]


def verify(samples: Sequence[Sample]) -> list[Score]:
    return [Score("v", "value", float(sample.response == RIGHT), "4") for sample in samples]


def choosing(keeps: Callable[[Sequence[Sample]], list[bool]]) -> Any:
    """A selector in this process, and the groups that it is asked about."""

    class Choosing:
        use = Use("selector", "mine", {})

        def choose(self, groups: Sequence[Sequence[Sample]]) -> list[Choice]:
            self.asked = groups
            return [Choice(group, keeps(group)) for group in groups]

    return Choosing()


def half_right(group: Sequence[Sample]) -> list[bool]:
    verdicts = [sample.correct for sample in group]
    return [0.0 in verdicts and 1.0 in verdicts] * len(group)


def test_a_selector_sees_all_solutions_of_a_problem_with_their_verdicts() -> None:
    selector = choosing(half_right)
    kept, tally = selected(ROWS, selector, verify, keep_wrong=True)
    assert [[sample.id for sample in group] for group in selector.asked] == [
        ["1", "3"], ["2", "4"], ["5"],
    ]  # fmt: skip
    assert [[sample.correct for sample in group] for group in selector.asked] == [
        [1.0, 0.0], [0.0, 0.0], [None],
    ]  # fmt: skip
    assert kept == [ROWS[0], ROWS[2]]
    assert {why: (one.rows, one.first) for why, one in tally.reasons.items()} == {
        "mine drops it": (3, "f:2")
    }


def test_wrong_solutions_are_left_out_unless_asked_for() -> None:
    kept, tally = selected(
        ROWS, choosing(lambda group: [True] * len(group)), verify, keep_wrong=False
    )
    assert kept == [ROWS[0]]
    assert {why: one.rows for why, one in tally.reasons.items()} == {
        "wrong": 3, "no reference answer": 1,
    }  # fmt: skip


def test_without_a_verifier_nothing_counts_as_wrong() -> None:
    selector = choosing(lambda group: [True] + [False] * (len(group) - 1))
    kept, _ = selected(ROWS, selector, None, keep_wrong=False)
    assert kept == [ROWS[0], ROWS[1], ROWS[4]]
    assert {sample.correct for group in selector.asked for sample in group} == {None}


@pytest.mark.integration
def test_traces_are_selected_and_the_card_says_so(tmp_path: Path) -> None:
    texts = [f"So {RIGHT}", f"so   {RIGHT}", f"Thus {RIGHT}", f"Thus {WRONG}"]
    rows = [{"problem": "2 + 2?", "solution": text, "answer": "4"} for text in texts]
    append_rows(tmp_path / "in.jsonl", rows)
    done = rlsp(
        "data", "traces", "in.jsonl", "--out", "out.jsonl", "--select", "distinct",
        "verifier=exact_match", "--json", cwd=tmp_path,
    )  # fmt: skip
    assert [row["solution"] for row in read_rows(tmp_path / "out.jsonl")] == [texts[0], texts[2]]
    filters = {one["name"]: one for one in json.loads(done.stdout)["data"]["filters"]}
    assert filters["select"]["reasons"] == {
        "distinct drops it": {"rows": 1, "first": "in.jsonl:2"},
        "wrong": {"rows": 1, "first": "in.jsonl:4"},
    }
    done = rlsp(
        "data", "traces", "in.jsonl", "--out", "no.jsonl", "keep_wrong=true",
        cwd=tmp_path, check=False,
    )  # fmt: skip
    assert done.returncode == 2 and "keep_wrong: without --select" in done.stderr
