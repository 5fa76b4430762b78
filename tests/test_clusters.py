"""Problems that a row function made of one row: every interval and test counts the row, not the problems."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rlsp_cli.evals.answer import Scored
from rlsp_cli.evals.compare import compare_in_order
from rlsp_cli.evals.metrics import greedy_over_sampled, of_kind, summarise
from rlsp_cli.evals.saved_answers import read_answers
from rlsp_cli.evals.statistics import detectable, difference, mean_share, paired
from rlsp_cli.evals.strategies import strategy_table
from rlsp_cli.report.cells import verdict_cell
from rlsp_cli.report.evaluation import difference_table
from rlsp_cli.rewards.sample import Score
from rlsp_cli.runs.stream import append_rows
from tests.optional import present


def answers(seed: int, chance: float, rows: int = 12, samples: int = 4) -> list[Scored]:
    """Greedy and sampled responses, with everything that a metric with an interval reads."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(rows):
        for kind, count in (("greedy", 1), ("sample", samples)):
            for index in range(count):
                right = bool(rng.random() < chance)
                found.append(_answer(str(number), kind, index, right, float(rng.random())))
    return found


def _answer(id: str, kind: str, index: int, right: bool, score: float) -> Scored:
    checks = {"strict": [right, True]}
    correctness = Score("v", "value", float(right), "3" if right else "4", checks=checks)
    return Scored(
        id=id,
        kind=kind,
        index=index,
        response=f"Confidence: {1 + int(9 * score)}/10",
        num_tokens=8 + index,
        scores={"judge": score},
        correctness=correctness,
    )


def copied(rows: Sequence[Scored], times: int) -> list[Scored]:
    """Each problem several times, as a list-returning row function that changes nothing makes it."""
    return [
        replace(row, id=f"{row.id}/{part}", parent=row.id) for row in rows for part in range(times)
    ]


BEFORE, AFTER = answers(1, 0.4), answers(2, 0.6)


def test_copies_of_a_problem_change_no_interval_and_no_test() -> None:
    one, two = summarise(of_kind(AFTER, "sample")), summarise(of_kind(copied(AFTER, 2), "sample"))
    for name in ("accuracy", "pass_at", "maj_at", "best_of", "checks", "accuracy_under"):
        assert getattr(two, name) == getattr(one, name), name

    alone, both = present(one.calibration), present(two.calibration)
    means = [(found.confidence, found.accuracy, found.brier, found.ece) for found in (alone, both)]
    assert means[1] == pytest.approx(means[0])
    apart = [replace(row, parent="") for row in of_kind(copied(AFTER, 2), "sample")]
    assert both.ece_ci[1] > present(summarise(apart).calibration).ece_ci[1]
    assert (two.problems, two.clusters, one.clusters) == (24, 12, None)

    beside = present(greedy_over_sampled(copied(AFTER, 2)))
    assert replace(beside, problems=12) == greedy_over_sampled(AFTER)

    models = {"a": {"b": copied(BEFORE, 2)}, "b": {"b": copied(AFTER, 2)}}
    for clustered, plain in zip(
        compare_in_order(models),
        compare_in_order({"a": {"b": BEFORE}, "b": {"b": AFTER}}),
        strict=True,
    ):
        moved = replace(clustered.moved, problems=12, clusters=None, detectable=None)
        assert moved == replace(plain.moved, detectable=None)
        assert clustered.moved.clusters == 12

    names = ["self_consistency", "best_of_n"]
    for row, plain_row in zip(
        strategy_table(copied(AFTER, 2), names, scorer="judge").rows,
        strategy_table(AFTER, names, scorer="judge").rows,
        strict=True,
    ):
        assert replace(row, problems=12) == plain_row


def test_an_interval_is_over_the_means_of_each_rows_problems() -> None:
    values = {"a/0": 1.0, "a/1": 0.0, "b/0": 1.0, "c": 0.0}
    rows = [
        Scored(
            id=id, kind="greedy", parent=id.partition("/")[0], correctness=Score("v", "value", v)
        )
        for id, v in values.items()
    ]
    found = summarise(rows)
    assert found.accuracy == mean_share([0.5, 1.0, 0.0]) and found.avg == 0.5
    assert found.accuracy_under is None and (found.problems, found.clusters) == (4, 3)


def test_power_is_that_of_the_rows_and_not_of_their_problems() -> None:
    """The three problems of each row are equally hard."""
    chances = np.tile(np.random.default_rng(5).random(10), 3)
    apart = [
        replace(row, id=str(number))
        for number, chance in enumerate(chances)
        for row in of_kind(answers(number, chance, rows=1), "sample")
    ]
    in_ten = [replace(row, parent=f"p{int(row.id) % 10}") for row in apart]
    pooled: dict[str, list[float]] = {}
    for row in in_ten:
        pooled.setdefault(row.parent, []).append(present(row.value))
    found = present(summarise(in_ten).detectable)
    assert found == detectable(pooled) and present(found.paired)
    assert present(found.unpaired) > present(present(summarise(apart).detectable).unpaired)

    # Five rows show nothing, however many problems they became.
    in_five = [replace(row, parent=f"p{int(row.id) % 5}") for row in apart]
    assert present(summarise(in_five).detectable).paired is None
    better = [replace(row, correctness=Score("v", "value", 1.0)) for row in in_five]
    (compared,) = compare_in_order({"a": {"b": in_five}, "b": {"b": better}})
    assert compared.moved.detectable is None and compared.moved.clusters == 5


def test_a_difference_is_tested_by_the_rows_that_differ() -> None:
    """Four problems of each of five rows all gained: p is 2 of 2^5, not 2 of 2^20."""
    before = {f"{row}/{part}": 0.0 for row in range(10) for part in range(4)}
    after = {id: float(id[0] < "5") for id in before}
    clusters = {id: id[0] for id in before}
    moved = present(difference(before, after, clusters))
    expected = paired([1.0] * 5 + [0.0] * 5)
    assert (moved.difference, moved.low, moved.high, moved.p_value) == expected[:4]
    assert moved.p_value == 2 / 2**5 and (moved.problems, moved.clusters, moved.differ) == (
        40,
        10,
        5,
    )
    assert verdict_cell(moved) == "cannot be told apart: only 5 rows differ, no test can tell"
    assert present(difference(before, after, {})).verdict == "better"


def test_samples_keep_their_parent_in_files_and_a_comparison_reads_it(tmp_path: Path) -> None:
    for name, rows in (("a", BEFORE), ("b", AFTER)):
        append_rows(tmp_path / name / "samples.jsonl", [row.to_json() for row in copied(rows, 2)])
    (a,), (b,) = (read_answers(tmp_path / name / "samples.jsonl") for name in "ab")
    assert list(a.rows) == copied(BEFORE, 2)
    assert "parent" not in BEFORE[0].to_json()

    found = compare_in_order({"a": {"b": a.rows}, "b": {"b": b.rows}})
    assert found[0].moved.clusters == 12
    assert difference_table(found).rows[0][-1] == "24 of 12 rows"
