"""AUROC, confidence by length and "I don't know", against numbers written out by hand, and scipy's."""

import json
from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats

from rlsp_cli.evals.answer import Scored
from rlsp_cli.evals.metrics import Metrics, summarise
from rlsp_cli.evals.metrics.auroc import auroc
from rlsp_cli.evals.metrics.confidence_by_length import confidence_by_length
from rlsp_cli.evals.metrics.dont_know import says_dont_know
from rlsp_cli.evals.metrics.stated import Stated
from rlsp_cli.evals.results import BenchResult, ModelResult, Results
from rlsp_cli.report.evaluation import evaluation_tables
from rlsp_cli.rewards.sample import Score
from tests.optional import present
from tests.provenance import made


def stated(*responses: tuple[str, float, bool]) -> list[Stated]:
    return [Stated(*response) for response in responses]


def test_auroc_counts_the_pairs_that_confidence_puts_in_order() -> None:
    found = auroc(stated(("a", 0.9, True), ("b", 0.6, True), ("c", 0.6, False), ("d", 0.2, False)))
    assert present(found).value == pytest.approx(3.5 / 4)  # 0.6 and 0.6 are half a pair


def test_each_problem_weighs_the_same_in_auroc() -> None:
    # The responses to a weigh 1/4, that to b 1/2: (1/4 * 1 + 1/2 * 1/2) / (3/4).
    found = auroc(stated(("a", 0.9, True), ("a", 0.2, False), ("b", 0.9, False)))
    assert present(found).value == pytest.approx(2 / 3)


def test_auroc_is_the_statistic_of_mann_and_whitney() -> None:
    rng = np.random.default_rng(0)
    levels, right = rng.integers(0, 11, 200) / 10, rng.random(200) < 0.4
    rows = [Stated(str(i), levels[i], bool(right[i])) for i in range(200)]
    u = stats.mannwhitneyu(levels[right], levels[~right]).statistic
    assert present(auroc(rows)).value == pytest.approx(u / (right.sum() * (~right).sum()))


def test_auroc_needs_right_and_wrong_responses() -> None:
    assert auroc(stated(("a", 0.9, True), ("b", 0.2, True))) is None
    assert auroc([]) is None


def test_auroc_of_few_wrong_responses_stays_uncertain() -> None:
    rows = [(f"p{i}", 0.9, True) for i in range(100)]
    few = present(auroc(stated(*rows, ("x", 0.1, False))))
    many = present(auroc(stated(*rows, *((f"x{i}", 0.1, False) for i in range(100)))))
    assert (few.value, few.high) == (many.value, many.high) == (1.0, 1.0)
    assert few.low < 0.1 and many.low > 0.9


@pytest.mark.parametrize(("problems", "k"), [(20, 1), (100, 1), (40, 4)])
def test_the_interval_of_auroc_holds_the_true_value(problems: int, k: int) -> None:
    chances = np.linspace(0.2, 0.8, 11)
    above = np.tril(np.ones((11, 11)), -1) + np.eye(11) / 2
    true = chances @ above @ (1 - chances) / (chances.sum() * (1 - chances).sum())

    rng, held = np.random.default_rng(2), 0
    for _ in range(100):
        # Half of the problems have one confidence for all their responses.
        same = rng.integers(0, 11, (problems, 1))
        own = rng.integers(0, 11, (problems, k))
        level = np.where(rng.random((problems, 1)) < 0.5, same, own)
        right = rng.random((problems, k)) < chances[level]
        rows = [
            Stated(str(i), level[i, j] / 10, bool(right[i, j]))
            for i in range(problems)
            for j in range(k)
        ]
        found = present(auroc(rows))
        held += found.low <= true <= found.high
    assert held >= 90


def test_confidence_by_length_puts_each_response_in_the_first_budget_that_it_fits() -> None:
    rows = [
        Stated("a", 0.9, True, 3),
        Stated("b", 0.5, False, 4),
        Stated("b", 0.7, True, 4),
        Stated("c", 0.8, False, 30),
    ]
    short, long = confidence_by_length(rows)
    # a: 0.9 - 1; b: (0.5 - 0 + 0.7 - 1) / 2
    assert (short.most_tokens, short.responses) == (4, 3)
    numbers = (short.confidence, short.accuracy, short.over.value)
    assert numbers == pytest.approx((0.75, 0.75, 0.0))
    assert (long.most_tokens, long.responses, long.over.value) == (32, 1, 0.8)
    assert short.over.low < 0 < short.over.high and long.over.low < 0


def test_confidence_by_length_needs_all_lengths() -> None:
    assert confidence_by_length([Stated("a", 0.9, True, 3), Stated("b", 0.9, True)]) == ()


def scored(response: str, value: float, answer: str | None = None, tokens: int = 9) -> Scored:
    correctness = Score("v", "value", value, answer)
    return Scored(
        id=response, kind="greedy", response=response, num_tokens=tokens, correctness=correctness
    )


@pytest.mark.parametrize(
    ("response", "answer", "says"),
    [
        ("So \\boxed{I don't know}", "I don't know", True),
        ("I do not know the answer.", None, True),
        ("Sorry, I don\u2019t know", None, True),
        ("We simply don't know.\nMore data is needed.", None, True),
        ("<think>I don't know.</think> It is 4.", None, False),
        ("I don't know why, but it is 4.", None, False),
        ("At first I don't know. So \\boxed{4}", "4", False),
        ("He does not know.", None, False),
        ("", None, False),
    ],
)
def test_a_response_says_it_when_that_is_its_answer(
    response: str, answer: str | None, says: bool
) -> None:
    assert says_dont_know(scored(response, 0.0, answer)) == says


def rows_of_a_bench() -> Sequence[Scored]:
    return [
        scored("Confidence: 9/10", 1.0, "4", 3),
        scored("Confidence: 60%", 0.0, "5", 30),
        scored("I don't know.", 0.0, None, 4),
        scored("4", 1.0, "4", 1),
    ]


def test_they_are_in_the_summary_and_survive_the_file() -> None:
    found = summarise(rows_of_a_bench())
    assert found.dont_know == 1 / 4
    known = present(found.calibration)
    assert present(known.auroc).value == 1.0
    assert [bucket.most_tokens for bucket in known.by_length] == [4, 32]
    assert Metrics.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_they_are_in_the_report() -> None:
    metrics = summarise(rows_of_a_bench())
    results = Results({"m": ModelResult("x", {"b": BenchResult(made(), greedy=metrics)})}, ())
    tables = {table.title: table for table in evaluation_tables(results)}
    lengths = tables["Stated confidence by the length of the response"].rows
    assert [row[3:7] for row in lengths] == [
        ["<= 4", "1", "90.0", "100.0"],
        ["<= 32", "1", "60.0", "0.0"],
    ]
    assert tables["Calibration of stated confidence"].rows[0][-1].startswith("1.000 (")
    certainty = next(table for title, table in tables.items() if "unscored" in title)
    assert certainty.rows[0][certainty.columns.index("I don't know %")] == "25.0"
