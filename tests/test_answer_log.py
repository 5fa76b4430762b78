"""The answer log: what is drawn is kept, whatever happens to the process or to the verifier."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from rlsp_cli.data import Problem
from rlsp_cli.evals.answer import SAMPLE, read_scored, read_waiting
from rlsp_cli.evals.answer_log import AnswerLog
from rlsp_cli.evals.samplers import Response
from rlsp_cli.rewards.sample import Sample, Score
from rlsp_cli.runs.paths import AnswerPaths

PROBLEMS = {id: Problem(id=id, problem=f"What is {id}?", answer=id) for id in "abc"}
PATIENCE_S = 30


def right_if_equal(samples: Sequence[Sample]) -> list[Score]:
    return [
        Score("equal", "value", float(one.response == one.reference), one.response)
        for one in samples
    ]


def opened(
    folder: Path, verify: Callable[[Sequence[Sample]], list[Score]] = right_if_equal
) -> AnswerLog:
    return AnswerLog(AnswerPaths(folder), PROBLEMS, verify, prompt=lambda id: f"Q: {id}")


def add(log: AnswerLog, id: str, text: str = "a") -> None:
    log.add(PROBLEMS[id], SAMPLE, 0, Response(text, num_tokens=1, scores={"logprob": -0.5}))


def wait_for_scores(log: AnswerLog) -> None:
    for _, scores in list(log._waiting):
        scores.result(PATIENCE_S)


def test_an_answer_is_in_the_file_before_its_verifier_is_asked(tmp_path: Path) -> None:
    seen: list[str] = []

    def verify(samples: Sequence[Sample]) -> list[Score]:
        seen.extend(answer.response for answer in read_waiting(tmp_path / "waiting.jsonl"))
        return right_if_equal(samples)

    with opened(tmp_path, verify) as log:
        add(log, "a", "text")
    assert seen == ["text"]


def test_leaving_waits_for_the_last_score_and_nothing_is_left_waiting(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        add(log, "a")
        add(log, "b")
    assert [(row.id, row.value, row.extracted) for row in log.rows()] == [
        ("a", 1.0, "a"),
        ("b", 0.0, "a"),
    ]
    assert [(row.problem, row.reference, row.num_tokens) for row in log.rows()] == [
        ("What is a?", "a", 1),
        ("What is b?", "b", 1),
    ]
    assert log.rows()[0].scores == {"logprob": -0.5}
    assert not (tmp_path / "waiting.jsonl").exists()


def test_rows_stand_in_the_order_of_the_answers_though_later_ones_are_scored_first(
    tmp_path: Path,
) -> None:
    last_is_scored = threading.Event()

    def verify(samples: Sequence[Sample]) -> list[Score]:
        if samples[0].id == "a":
            assert last_is_scored.wait(PATIENCE_S)
        if samples[0].id == "c":
            last_is_scored.set()
        return right_if_equal(samples)

    with opened(tmp_path, verify) as log:
        for id in "abc":
            add(log, id)
    assert [row.id for row in log.rows()] == ["a", "b", "c"]


def test_a_score_that_is_there_is_written_while_later_ones_are_awaited(tmp_path: Path) -> None:
    release = threading.Event()

    def verify(samples: Sequence[Sample]) -> list[Score]:
        if samples[0].id == "c":
            assert release.wait(PATIENCE_S)
        return right_if_equal(samples)

    with opened(tmp_path, verify) as log:
        add(log, "a")
        wait_for_scores(log)
        add(log, "c")
        assert [row.id for row in read_scored(tmp_path / "samples.jsonl")] == ["a"]
        release.set()


def test_an_error_keeps_what_waits_and_a_new_log_scores_it_once(tmp_path: Path) -> None:
    asked: list[str] = []
    release, finished = threading.Event(), threading.Event()

    def slow_for_b(samples: Sequence[Sample]) -> list[Score]:
        if samples[0].id == "b":
            release.wait(PATIENCE_S)
            finished.set()
        return right_if_equal(samples)

    def counted(samples: Sequence[Sample]) -> list[Score]:
        asked.extend(f"{one.prompt} {one.response}" for one in samples)
        return right_if_equal(samples)

    def interrupted() -> None:
        with opened(tmp_path, slow_for_b) as log:
            add(log, "a")
            wait_for_scores(log)
            add(log, "b", "b")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not finished.is_set()  # leaving by an error does not wait for the verifier
    release.set()
    assert [one.id for one in read_scored(tmp_path / "samples.jsonl")] == ["a"]
    assert [one.id for one in read_waiting(tmp_path / "waiting.jsonl")] == ["a", "b"]

    with opened(tmp_path, counted) as log:
        assert log.done == {("a", SAMPLE, 0), ("b", SAMPLE, 0)}
        add(log, "c")
    assert sorted(asked) == ["Q: b b", "Q: c a"]
    assert [(row.id, row.right) for row in log.rows()] == [("a", True), ("b", True), ("c", False)]


def test_a_verifiers_own_failure_is_raised_and_the_answer_is_kept(tmp_path: Path) -> None:
    def broken(samples: Sequence[Sample]) -> list[Score]:
        raise OSError("no worker could be started")

    with pytest.raises(OSError, match="no worker"), opened(tmp_path, broken) as log:
        add(log, "a")
    assert log.rows() == [] and [one.id for one in read_waiting(tmp_path / "waiting.jsonl")] == [
        "a"
    ]
