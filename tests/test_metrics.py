"""Metrics and intervals against counting, closed forms and known values."""

import itertools
import statistics

import pytest

from rlsp_cli.evals.compare import comparisons
from rlsp_cli.evals.interval import bootstrap_mean, paired_difference, wilson
from rlsp_cli.evals.metrics import majority, pass_at_k, summarise
from rlsp_cli.rewards.behaviour import behaviour_counts, repetition


@pytest.mark.parametrize(("n", "correct", "k"), [(5, 2, 1), (5, 2, 3), (6, 0, 2), (6, 6, 6), (4, 1, 4)])
def test_pass_at_k_counts_the_draws_that_hold_a_correct_response(n: int, correct: int, k: int) -> None:
    draws = list(itertools.combinations([True] * correct + [False] * (n - correct), k))
    assert pass_at_k(n, correct, k) == pytest.approx(sum(map(any, draws)) / len(draws))


def test_the_majority_ignores_missing_answers_and_shares_ties() -> None:
    assert majority(["4", " 4", "5"], [True, True, False]) == 1.0
    assert majority([None, None, "5"], [False, False, True]) == 1.0
    assert majority(["4", "5"], [True, False]) == 0.5
    assert majority([None, None], [False, False]) == 0.0


def test_the_wilson_interval_of_known_cases() -> None:
    assert wilson(7, 30) == pytest.approx((7 / 30, 0.1179, 0.4093), abs=1e-4)
    assert wilson(0, 30)[1:] == pytest.approx((0, 0.1135), abs=1e-4)
    assert wilson(30, 30)[1:] == pytest.approx((0.8865, 1), abs=1e-4)


def test_the_bootstrap_agrees_with_the_normal_interval_and_is_the_same_each_time() -> None:
    values = [0.0, 0.25, 0.5, 1.0] * 50
    interval = bootstrap_mean(values)
    half = 1.96 * statistics.stdev(values) / len(values) ** 0.5
    assert interval == pytest.approx((0.4375, 0.4375 - half, 0.4375 + half), abs=0.01)
    assert interval == bootstrap_mean(values)


def test_pairing_sees_what_independent_intervals_cannot() -> None:
    before = [0.0, 1.0] * 50
    after = [1.0, 1.0] * 10 + before[20:]
    low, high = bootstrap_mean(before).high, bootstrap_mean(after).low
    assert low > high
    assert paired_difference(before, after).low > 0


def row(id: str, kind: str, index: int, value: float | None, answer: str | None = "1") -> dict:
    outcome = "value" if value is not None else "timeout"
    correctness = {"outcome": outcome, "value": value, "answer": answer, "reason": None}
    return {
        "id": id,
        "kind": kind,
        "index": index,
        "response": "Wait, go back.",
        "num_tokens": 4,
        "truncated": False,
        "correctness": correctness,
    }


def test_an_unscored_response_is_counted_and_is_not_wrong() -> None:
    rows = [row("a", "greedy", 0, 1.0), row("b", "greedy", 0, None), row("c", "greedy", 0, 0.0)]
    greedy = summarise(rows)["greedy"]
    assert greedy["accuracy"]["value"] == 0.5
    assert (greedy["problems"], greedy["responses"], greedy["unscored"]) == (2, 3, {"timeout": 1})
    assert summarise([row("a", "greedy", 0, None)])["greedy"]["accuracy"] is None


def test_k_samples_give_avg_pass_and_maj() -> None:
    rows = [row("a", "sample", i, v, str(v)) for i, v in enumerate([1.0, 1.0, 0.0, 0.0])]
    rows += [row("b", "sample", i, v, str(v)) for i, v in enumerate([1.0, 0.0, 0.0, 0.0])]
    sample = summarise(rows)["sample"]
    assert sample["accuracy"]["value"] == pytest.approx(3 / 8)
    assert sample["pass_at"] == pytest.approx({"1": 3 / 8, "2": (5 / 6 + 1 / 2) / 2, "4": 1.0})
    assert sample["maj_at_k"] == 0.25
    assert sample["k"] == 4 and sample["behaviour"]["backtrack"] == 1


def test_models_are_compared_on_the_problems_that_both_scored() -> None:
    before = {"bench": [row(str(i), "greedy", 0, 0.0) for i in range(20)]}
    after = {"bench": [row(str(i), "greedy", 0, 1.0 if i else None) for i in range(20)]}
    (found,) = comparisons({"sft": before, "ppo": after})
    assert (found["from"], found["to"], found["problems"]) == ("sft", "ppo", 19)
    assert found["difference"] == found["low"] == 1.0


def test_behaviours_are_counted_by_words_and_repetition_by_fourgrams() -> None:
    text = "Start with 3. 3 + 7 = 10, too high. No partner for 3, go back. Start with 4. Let me check: correct."
    counts = behaviour_counts(text)
    assert counts == {"alternative": 1, "backtrack": 1, "self_correction": 0, "subgoal": 0, "verify": 3}
    assert sum(behaviour_counts("The checkered backyard").values()) == 0
    assert repetition("a b c d e f g") == repetition("a b") == 0
    assert repetition("a b c d " * 25) > 0.9
