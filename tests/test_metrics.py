"""Metrics and intervals against counting, simulation, and what scipy and numpy make of the same rows."""

import itertools
import json
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import astuple, replace
from typing import Any

import numpy as np
import pytest
from scipy import stats
from scipy.special import expit, logit

from rlsp_cli.evals import metrics
from rlsp_cli.evals.answer import Scored
from rlsp_cli.evals.compare import compare_in_order
from rlsp_cli.evals.metrics import SameAnswer, greedy_over_sampled, of_kind
from rlsp_cli.evals.metrics.calibration import (
    Calibration,
    calibration,
    expected_calibration_error,
)
from rlsp_cli.evals.metrics.checks import check_levels
from rlsp_cli.evals.metrics.curves import best_of_k, pass_at_k
from rlsp_cli.evals.metrics.stated import Stated
from rlsp_cli.evals.metrics.tokens import accuracy_under, tokens_per_correct
from rlsp_cli.evals.results import BenchResult, ModelResult, Results
from rlsp_cli.evals.statistics import (
    Detectable,
    detectable,
    detectable_between,
    detectable_by,
    difference,
    mean_share,
    paired,
)
from rlsp_cli.evals.statistics.beta import beta_quantile
from rlsp_cli.report.cells import verdict_cell
from rlsp_cli.report.summary import curve_notes
from rlsp_cli.rewards.lexicon import behaviour_counts
from rlsp_cli.rewards.repetition import repetition
from rlsp_cli.rewards.sample import Score
from tests.optional import present
from tests.provenance import made
from tests.test_vote import Same


@pytest.mark.parametrize(
    ("n", "correct", "k"), [(5, 2, 1), (5, 2, 3), (6, 0, 2), (6, 6, 6), (4, 1, 4), (64, 9, 16)]
)
def test_pass_at_k_is_the_chance_of_a_draw_with_a_correct_response(
    n: int, correct: int, k: int
) -> None:
    assert pass_at_k(n, correct, k) == pytest.approx(1 - stats.hypergeom.pmf(0, n, correct, k))


@pytest.mark.parametrize(("n", "k"), [(2, 3), (2, 0), (0, 1)])
def test_more_responses_than_there_are_cannot_be_drawn(n: int, k: int) -> None:
    with pytest.raises(ValueError, match=f"pass@{k} of {n} responses"):
        pass_at_k(n, 0, k)


def test_best_of_k_is_the_mean_over_all_draws() -> None:
    scored = [(0.9, False), (0.7, True), (0.7, False), (0.2, True), (0.1, False)]
    for k in range(1, 6):
        draws = list(itertools.combinations(scored, k))
        best = [[right for score, right in draw if score == max(draw)[0]] for draw in draws]
        assert best_of_k(scored, k) == pytest.approx(statistics.fmean(map(statistics.fmean, best)))


@pytest.mark.parametrize(
    ("right", "total"), [(0, 1), (1, 2), (7, 30), (0, 30), (30, 30), (251, 500), (40, 12032)]
)
def test_the_interval_of_problems_that_are_right_or_wrong_is_that_of_clopper_and_pearson(
    right: int, total: int
) -> None:
    interval = stats.binomtest(right, total).proportion_ci(method="exact")
    found = mean_share([1.0] * right + [0.0] * (total - right))
    assert astuple(found) == pytest.approx((right / total, interval.low, interval.high), abs=1e-9)


@pytest.mark.parametrize(("a", "b"), [(0.4, 0.7), (1, 500), (30, 2), (1e5, 3e5), (1e9, 1e9)])
def test_quantiles_of_the_beta_distribution_are_scipys(a: float, b: float) -> None:
    for share in (0.001, 0.025, 0.5, 0.975):
        assert beta_quantile(a, b, share) == pytest.approx(stats.beta.ppf(share, a, b), rel=1e-8)


def chances(kind: str, mean: float, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Chances of a right response to problems of a kind."""
    if kind == "alike":
        return np.full(shape, mean)
    if kind == "beta":
        return rng.beta(mean, 1 - mean, shape)
    return np.where(rng.random(shape) < (mean - 0.01) / 0.89, 0.9, 0.01)


@pytest.mark.parametrize("kind", ["alike", "beta", "two kinds"])
@pytest.mark.parametrize("mean", [0.02, 0.1, 0.5])
@pytest.mark.parametrize(("problems", "samples"), [(10, 16), (30, 16), (30, 4)])
def test_intervals_hold_the_mean_of_other_problems_of_the_kind(
    kind: str, mean: float, problems: int, samples: int
) -> None:
    rng = np.random.default_rng(7)
    shares = rng.binomial(samples, chances(kind, mean, (120, problems), rng)) / samples
    intervals = [mean_share(row) for row in shares.tolist()]
    held = sum(interval.low <= mean <= interval.high for interval in intervals)
    assert held >= 0.93 * 120


def test_the_interval_does_not_jump_between_no_right_response_and_one() -> None:
    none, one = mean_share([0.0] * 30), mean_share([1 / 16] + [0.0] * 29)
    assert none.high < one.high < none.high + 0.01 and one.low < 0.001
    assert mean_share([0.5] * 30).high - 0.5 > 0.03


def test_clustering_by_problem_widens_the_interval_that_samples_alone_would_give() -> None:
    values = {
        str(i): [float(i % 2)] * 15 + [0.5] for i in range(30)
    }  # sixteen samples that hardly differ
    clustered = mean_share([statistics.fmean(scores) for scores in values.values()])
    naive = mean_share([score for scores in values.values() for score in scores])
    assert clustered.high - clustered.low > 3 * (naive.high - naive.low)


def test_the_paired_interval_holds_the_true_difference_in_about_95_of_100_simulations() -> None:
    rng, held = np.random.default_rng(0), 0
    for _ in range(100):
        chance = rng.beta(1, 1, 40) * 0.8
        before, after = (rng.binomial(4, p) / 4 for p in (chance, chance + 0.1))
        moved = paired((after - before).tolist())
        held += moved.low <= 0.1 <= moved.high
    assert held >= 93


@pytest.mark.parametrize("problems", [8, 14, 60])
def test_the_p_value_is_scipys_permutation_test(problems: int) -> None:
    differences = np.random.default_rng(problems).normal(0.1, 0.3, problems).clip(-1, 1).round(1)
    scipys = stats.permutation_test(
        (differences,),
        np.mean,
        permutation_type="samples",
        n_resamples=20_000,
        rng=0,
    )
    assert paired(differences.tolist()).p == pytest.approx(
        scipys.pvalue, abs=0.015 if problems > 14 else 1e-9
    )


@pytest.mark.parametrize("step", [1.0, 0.0625, 0.1])
def test_the_paired_interval_leaves_out_0_exactly_where_p_is_at_most_5_percent(step: float) -> None:
    rng = np.random.default_rng(5)
    cases = [
        (rng.integers(-3, 5, n) * (rng.random(n) < 0.6) * step).clip(-1, 1) for n in range(1, 41)
    ]
    found = [paired(case.tolist()) for case in cases]
    assert [one.p <= 0.05 for one in found] == [not one.low <= 0 <= one.high for one in found]
    assert {one.p <= 0.05 for one in found} == {True, False}
    assert all(-1 <= one.low <= one.value <= one.high <= 1 for one in found)


def test_exchanging_the_models_mirrors_everything() -> None:
    differences = np.random.default_rng(2).normal(0.1, 0.4, 50).clip(-1, 1).tolist()
    there, back = paired(differences), paired([-difference for difference in differences])
    assert (back.value, back.low, back.high, back.p) == (
        -there.value,
        -there.high,
        -there.low,
        there.p,
    )


def test_turning_signs_at_random_finds_a_difference_in_at_most_5_of_100_cases() -> None:
    sizes = np.random.default_rng(11).integers(1, 9, 8) / 8
    turned = [sizes * signs for signs in itertools.product((1, -1), repeat=8)]
    found = sum(paired(differences.tolist()).p <= 0.05 for differences in turned)
    assert 0 < found <= 0.05 * 2**8


def test_no_difference_and_few_problems_cannot_be_told_apart() -> None:
    none = paired([0.0] * 30)
    assert none.p == 1 and -0.12 < none.low < -0.08 and none.high == -none.low
    for differ in (1, 5, 6):
        moved = difference(
            dict.fromkeys("abcdefghij", 0.0),
            {id: float(i < differ) for i, id in enumerate("abcdefghij")},
            clusters={},
        )
        assert moved and moved.differ == differ and moved.p_value == 2 / 2**differ
        assert moved.verdict == ("better" if differ == 6 else "cannot be told apart")
        assert ("no test can tell" in verdict_cell(moved)) is (differ < 6)


def shown(moved: np.ndarray) -> float:
    """Share of rows whose signs, turned at random, give as much in at most 5%."""
    turns = np.random.default_rng(9).choice([-1, 1], (moved.shape[1], 500))
    return float(
        ((abs(moved @ turns) >= abs(moved.sum(1, keepdims=True)) - 1e-9).mean(1) <= 0.05).mean()
    )


@pytest.mark.parametrize(("mean", "spread"), [(0.3, 1), (0.1, 0.5), (0.9, 1)])
def test_a_paired_difference_of_the_smallest_size_is_shown_in_80_of_100_evaluations(
    mean: float, spread: float
) -> None:
    rng, powers = np.random.default_rng(3), []
    for _ in range(10):
        chance = rng.beta(spread * mean, spread * (1 - mean), 30)
        smallest = detectable(
            {str(i): scores for i, scores in enumerate(rng.binomial(1, chance, (8, 30)).T.tolist())}
        )
        true = np.clip(rng.beta(spread * mean, spread * (1 - mean), (4000, 30)), 1e-12, 1 - 1e-12)
        strengths = np.linspace(0, 6, 200) * (1 if mean < 0.5 else -1)
        gains = [
            expit(logit(true[:50]) + strength).mean() - true[:50].mean() for strength in strengths
        ]
        other = expit(logit(true) + np.interp(present(smallest.paired), np.abs(gains), strengths))
        powers.append(shown((rng.binomial(8, other) - rng.binomial(8, true)) / 8))
    assert 0.75 < np.mean(powers) < 0.9


@pytest.mark.filterwarnings("ignore:Precision loss")  # of evaluations without any spread
@pytest.mark.parametrize(("mean", "problems"), [(0.3, 30), (0.1, 30), (0.9, 30), (0.3, 10)])
def test_an_unpaired_difference_of_the_smallest_size_is_shown_in_80_of_100_evaluations(
    mean: float, problems: int
) -> None:
    rng, powers = np.random.default_rng(5), []
    for _ in range(40):
        first = rng.binomial(8, rng.beta(mean, 1 - mean, problems)) / 8
        smallest = detectable({str(i): [share] for i, share in enumerate(first.tolist())}).unpaired
        if smallest is None:
            continue
        other = mean + (smallest if mean < 0.5 else -smallest)
        before = rng.binomial(8, rng.beta(mean, 1 - mean, (1000, problems))) / 8
        after = rng.binomial(8, rng.beta(other, 1 - other, (1000, problems))) / 8
        powers.append(
            (stats.ttest_ind(before, after, axis=1, equal_var=False).pvalue <= 0.05).mean()
        )
    assert len(powers) > 30 and 0.73 < np.mean(powers) < 0.88


def test_the_smallest_difference_of_a_pair_of_models_is_shown_in_some_80_of_100_evaluations() -> (
    None
):
    rng, powers = np.random.default_rng(3), []
    for _ in range(10):
        chance = rng.beta(0.3, 0.7, 60)
        smallest = present(
            detectable_by(((rng.binomial(8, chance) - rng.binomial(8, chance)) / 8).tolist())
        )
        true = rng.beta(0.3, 0.7, (500, 60))
        other = true + smallest * (1 - true) / 0.7
        powers.append(shown((rng.binomial(8, other) - rng.binomial(8, true)) / 8))
    assert 0.75 < np.mean(powers) < 0.95


def test_the_smallest_difference_of_compared_models_allows_for_how_a_gain_is_spread_over_problems() -> (
    None
):
    rng = np.random.default_rng(8)
    right = rng.binomial(1, rng.beta(0.2, 0.8, 30), (2, 4, 30)).astype(float)
    rows = [
        [row(str(i), "sample", j, side[j, i]) for i in range(30) for j in range(4)]
        for side in right
    ]
    (found,) = compare_in_order({"a": {"b": scored(rows[0])}, "b": {"b": scored(rows[1])}})
    by_sizes = detectable_by((right[1].mean(0) - right[0].mean(0)).tolist())
    between = detectable_between(list(zip(right[0].T.tolist(), right[1].T.tolist(), strict=True)))
    assert found.moved.detectable == max(present(by_sizes), present(between))


def test_the_smallest_difference_is_not_guessed_where_nothing_tells_it() -> None:
    assert detectable({"a": [0.0], "b": [1.0]}).paired is None
    assert detectable({"a": [0.0, 0.0], "b": [0.0, 0.0]}) == Detectable(None, None)
    assert (
        detectable({id: [0.0, 1.0] for id in "abcd"} | {"e": [0.0, 0.0]}).paired is None
    )  # of five problems
    assert detectable_by([0.0] * 30) is None and detectable_by([0.1, -0.1, 0.3]) is None


def test_the_smallest_difference_shrinks_with_the_root_of_many_problems() -> None:
    scores = np.random.default_rng(1).binomial(1, 0.3, (800, 4)).tolist()
    few, many = (
        detectable({str(i): one for i, one in enumerate(scores[:n])}).paired for n in (200, 800)
    )
    assert many == pytest.approx(present(few) / 2, rel=0.2)


def confident(stated: np.ndarray, right: np.ndarray) -> list[Scored]:
    """Responses that state a confidence in tenths, a problem for each."""
    return [
        says(str(i), f"confidence: {tenths}/10", float(is_right))
        for i, (tenths, is_right) in enumerate(zip(stated.tolist(), right.tolist(), strict=True))
    ]


def says(id: str, response: str, value: float) -> Scored:
    return Scored(id=id, kind="greedy", response=response, correctness=Score("v", "value", value))


def test_brier_and_ece_are_those_of_numpy() -> None:
    rng = np.random.default_rng(1)
    stated = rng.integers(0, 11, 300)
    right = rng.random(300) < stated / 14
    found = calibration([*confident(stated, right), says("x", "no idea", 0.0)])
    assert isinstance(found, Calibration)
    bins = np.digitize(stated / 10, np.linspace(0, 1, 16)[1:-1], right=True)
    gaps = [
        (bins == b).mean() * abs(stated[bins == b].mean() / 10 - right[bins == b].mean())
        for b in np.unique(bins)
    ]
    assert found.brier == pytest.approx(np.mean((stated / 10 - right) ** 2))
    assert found.ece == pytest.approx(sum(gaps))
    assert found.stated == pytest.approx(300 / 301) and found.accuracy == pytest.approx(
        right.mean()
    )
    assert expected_calibration_error([Stated("a", 1.0, True), Stated("b", 0.0, False)]).value == 0


def test_each_problem_weighs_the_same_in_calibration() -> None:
    rows = confident(np.array([8, 8, 8, 2]), np.array([0, 0, 0, 1]))
    rows = [replace(row, id="abbb"[i]) for i, row in enumerate([rows[3], *rows[:3]])]
    found = present(calibration(rows))
    assert (found.confidence, found.accuracy, found.ece) == pytest.approx((0.5, 0.5, 0.8))


@pytest.mark.parametrize(("problems", "k"), [(30, 1), (120, 1), (60, 4)])
def test_the_interval_of_ece_holds_no_error_of_a_calibrated_model_and_says_what_chance_gives(
    problems: int, k: int
) -> None:
    rng, found = np.random.default_rng(4), []
    for _ in range(60):
        stated = rng.integers(0, 11, (problems, k))
        right = np.where(
            rng.random((problems, 1)) < 0.5, rng.random((problems, 1)), rng.random(stated.shape)
        )
        rows = confident(stated.ravel(), (right < stated / 10).ravel())
        grouped = [replace(row, id=str(i // k)) for i, row in enumerate(rows)]
        found.append(present(calibration(grouped)))
    assert sum(one.ece_ci[0] == 0 for one in found) >= 0.93 * 60
    mean = statistics.fmean(one.ece for one in found)
    assert statistics.fmean(one.ece_by_chance for one in found) == pytest.approx(mean, rel=0.12)


@pytest.mark.parametrize("problems", [30, 200])
def test_the_interval_of_ece_holds_the_error_of_a_model_that_says_too_much(problems: int) -> None:
    rng, held = np.random.default_rng(4), 0
    for _ in range(60):
        stated = rng.integers(7, 11, problems)
        right = rng.random(problems) < stated / 10 - 0.3
        found = present(calibration(confident(stated, right)))
        held += found.ece_ci[0] <= 0.3 <= found.ece_ci[1]
    assert held >= 0.93 * 60
    sure = present(calibration(confident(np.full(30, 10), np.full(30, True))))
    assert sure.ece == 0 and 0.1 < sure.ece_ci[1] < 0.2


def test_tokens_are_counted_for_each_right_answer_and_long_responses_are_wrong_under_a_budget() -> (
    None
):
    rows = [
        {**row("a", "sample", 0, 1.0), "num_tokens": 100},
        {**row("a", "sample", 1, 0.0), "num_tokens": 10},
    ]
    rows += [
        {**row("b", "sample", 0, 1.0), "num_tokens": 1000},
        {**row("b", "sample", 1, None), "num_tokens": 5},
    ]
    counted, uncounted = scored(rows), scored([{**rows[0], "num_tokens": None}])
    assert tokens_per_correct(counted) == 1115 / 2
    under = {32: 0.0, 64: 0.0, 128: 0.25, 256: 0.25, 512: 0.25, 1024: 0.75}
    assert accuracy_under(counted) == pytest.approx(under)
    assert tokens_per_correct(uncounted) is None and accuracy_under(uncounted) is None


def test_pairing_sees_what_independent_intervals_cannot() -> None:
    before = [0.0, 1.0] * 50
    after = [1.0, 1.0] * 10 + before[20:]
    assert mean_share(before).high > mean_share(after).low
    assert paired([b - a for a, b in zip(before, after, strict=True)]).low > 0


def row(
    id: str, kind: str, index: int, value: float | None, answer: str | None = "1"
) -> dict[str, Any]:
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


def scored(rows: Iterable[dict[str, Any]]) -> list[Scored]:
    return list(map(Scored.from_json, rows))


def result(
    rows: Sequence[dict[str, Any]], same: SameAnswer | None = None, ks: Sequence[int] = ()
) -> BenchResult:
    """One model on one bench, from rows of samples.jsonl."""
    answers = scored(rows)
    parts = {kind: of_kind(answers, kind) for kind in ("greedy", "sample")}
    found = {kind: metrics.summarise(part, same, ks) for kind, part in parts.items() if part}
    return BenchResult(
        made(),
        greedy=found.get("greedy"),
        sample=found.get("sample"),
        greedy_over_sampled=greedy_over_sampled(answers),
    )


def summarise(
    rows: Sequence[dict[str, Any]], same: SameAnswer | None = None, ks: Sequence[int] = ()
) -> dict[str, Any]:
    """What results.json has of it, read back once."""
    found = result(rows, same, ks)
    data = found.to_json()
    assert BenchResult.from_json(json.loads(json.dumps(data))) == found
    return data


def test_an_unscored_response_is_counted_and_is_not_wrong() -> None:
    rows = [row("a", "greedy", 0, 1.0), row("b", "greedy", 0, None), row("c", "greedy", 0, 0.0)]
    greedy = summarise(rows)["greedy"]
    assert greedy["accuracy"]["value"] == 0.5
    assert (greedy["problems"], greedy["responses"], greedy["unscored"]) == (2, 3, {"timeout": 1})
    assert greedy["accuracy_if_unscored_wrong"] == pytest.approx(1 / 3)
    assert summarise([row("a", "greedy", 0, None)])["greedy"]["accuracy"] is None
    assert summarise([row("a", "greedy", 0, 1.0)])["greedy"]["accuracy_if_unscored_wrong"] is None


def test_the_bound_for_unscored_responses_weighs_problems_alike() -> None:
    rows = [row("a", "sample", i, v) for i, v in enumerate([1.0, None, None, None])] + [
        row("b", "sample", 0, 1.0)
    ]
    assert summarise(rows)["sample"]["accuracy"]["value"] == 1.0
    assert summarise(rows)["sample"]["accuracy_if_unscored_wrong"] == pytest.approx((1 / 4 + 1) / 2)


def test_k_samples_give_avg_pass_and_maj() -> None:
    rows = [row("a", "sample", i, v, str(v)) for i, v in enumerate([1.0, 1.0, 0.0, 0.0])]
    rows += [row("b", "sample", i, v, str(v)) for i, v in enumerate([1.0, 0.0, 0.0, 0.0])]
    sample = summarise(rows)["sample"]
    assert sample["accuracy"]["value"] == pytest.approx(3 / 8)
    assert sample["pass_at"] == pytest.approx({"1": 3 / 8, "2": (5 / 6 + 1 / 2) / 2, "4": 1.0})
    assert sample["maj_at_k"] == 0.25
    assert sample["k"] == 4 and sample["behaviour"]["backtrack"] == 1


def test_problems_with_fewer_responses_bound_k_and_weigh_the_same() -> None:
    rows = [row("a", "sample", i, v) for i, v in enumerate([1.0, 0.0, 0.0, 1.0, 1.0])]
    rows += [row("b", "sample", i, v) for i, v in enumerate([1.0, 0.0, 0.0])]
    sample = summarise(rows)["sample"]
    assert sample["accuracy"]["value"] == pytest.approx((3 / 5 + 1 / 3) / 2)
    assert list(sample["pass_at"]) == ["1", "2", "3"] and (sample["k_least"], sample["k"]) == (3, 5)
    assert list(summarise(rows, ks=(1, 3, 5))["sample"]["maj_at"]) == ["1", "3"]


def test_rates_scores_and_greedy_beside_sampled_are_in_the_summary() -> None:
    rows = [
        {**row("a", "sample", i, v), "scores": {"rm": v}}
        for i, v in enumerate([1.0, 0.0, 0.0, 0.0])
    ]
    rows += [{**row("b", "sample", i, 1.0), "scores": {"rm": 0.0}} for i in range(3)]
    rows += [
        {**row("b", "sample", 3, None), "truncated": True},
        row("a", "greedy", 0, 1.0),
        row("b", "greedy", 0, 1.0),
    ]
    found = summarise(rows)
    assert found["sample"]["rates"] == {
        "truncated": 1 / 8,
        "unanswered": 0,
        "abstain": 0,
        "timeout": 1 / 8,
        "error": 0,
    }
    assert found["sample"]["best_of"]["rm"]["best_at"]["3"] == pytest.approx((3 / 4 + 1) / 2)
    beside = found["greedy_over_sampled"]
    assert beside["difference"] == pytest.approx(1 - (1 / 4 + 1) / 2) and beside["problems"] == 2


def test_without_extracted_answers_there_is_no_vote_unless_nothing_was_right() -> None:
    unextracted = [row("a", "sample", i, v, None) for i, v in enumerate([1.0, 0.0, 0.0, 0.0])]
    assert (
        summarise(unextracted)["sample"]["maj_at"] == {}
        and summarise(unextracted)["sample"]["maj_at_k"] is None
    )
    wrong = [row("a", "sample", i, 0.0, None) for i in range(4)]
    assert summarise(wrong)["sample"]["maj_at_k"] == 0.0


def test_a_scorer_that_left_responses_out_chooses_none() -> None:
    rows = [
        {**row("a", "sample", i, v), "scores": {"rm": v, "other": v}}
        for i, v in enumerate([1.0, 0.0, 0.0, 0.0])
    ]
    rows[2]["scores"] = {"rm": 0.5}
    assert list(summarise(rows)["sample"]["best_of"]) == ["rm"]


def test_a_response_is_unanswered_when_it_was_scored_and_holds_no_answer() -> None:
    rows = [
        row("a", "greedy", 0, 0.0, None),
        row("b", "greedy", 0, None, None),
        row("c", "greedy", 0, 1.0),
    ]
    greedy = summarise([*rows, *(row(problem, "greedy", 0, 1.0) for problem in "defgh")])["greedy"]
    assert greedy["rates"]["unanswered"] == 1 / 8 and greedy["answered"] == 6 / 8


def test_the_share_of_truncated_responses_is_in_their_shape() -> None:
    rows = [{**row("a", "sample", i, 0.0), "truncated": i == 2} for i in range(4)]
    assert (
        summarise(rows)["sample"]["truncated"]
        == summarise(rows)["sample"]["rates"]["truncated"]
        == 1 / 4
    )


def test_a_summary_holds_these_parts_and_those_of_k_where_there_are_several_responses() -> None:
    rows = [{**row("a", "sample", i, v), "scores": {"rm": v}} for i, v in enumerate([1.0, 0.0])]
    found = summarise([*rows, row("a", "greedy", 0, 1.0)])
    each = {
        "accuracy",
        "problems",
        "k",
        "k_least",
        "detectable",
        "responses",
        "unscored",
        "accuracy_if_unscored_wrong",
    }
    each |= {"rates", "tokens", "truncated", "answered", "repetition", "behaviour", "calibration"}
    each |= {"tokens_per_correct", "accuracy_under", "checks", "clusters", "dont_know"}
    of_k = {"k_missing", "pass_at", "pass_ci", "maj_at", "maj_ci", "maj_at_k", "best_of"}
    assert set(found["greedy"]) == set(found["sample"]) == each | of_k
    assert not any(found["greedy"][key] for key in of_k) and all(
        found["sample"][key] for key in of_k - {"k_missing"}
    )
    assert set(found["sample"]["best_of"]["rm"]) == {"best_at", "best_ci"}
    assert set(found["greedy_over_sampled"]) == {"difference", "low", "high", "problems"}


def test_a_curve_has_the_interval_of_its_mean_over_problems_at_each_k() -> None:
    rows = [
        row(id, "sample", i, float(i < n))
        for id, n in (("a", 0), ("b", 1), ("c", 2))
        for i in range(2)
    ]
    sample = summarise(rows)["sample"]
    for k, column in (("1", [0.0, 0.5, 1.0]), ("2", [0.0, 1.0, 1.0])):
        interval = mean_share(column)
        assert (sample["pass_at"][k], *sample["pass_ci"][k]) == (
            interval.value,
            interval.low,
            interval.high,
        )


def test_k_that_a_problem_has_too_few_scored_responses_for_is_said_to_be_missing() -> None:
    rows = [row("a", "sample", i, 1.0) for i in range(8)] + [
        row("b", "sample", i, None if i else 0.0) for i in range(8)
    ]
    rows += [row("c", "sample", i, None if i > 2 else 0.0) for i in range(8)]
    sample = summarise(rows)["sample"]
    assert list(sample["pass_at"]) == list(sample["maj_at"]) == ["1"]
    assert sample["k_missing"] == {"k": (2, 4, 8), "problems": 1, "first": "b", "responses": 1}
    assert summarise(rows, ks=(1, 4))["sample"]["k_missing"] == {
        "k": (4,),
        "problems": 2,
        "first": "b",
        "responses": 1,
    }
    assert summarise(rows[:8])["sample"]["k_missing"] is None
    (line,) = curve_notes(Results({"base": ModelResult("x", {"aime24": result(rows)})}))
    assert (
        line.startswith("aime24, base: no pass@k and maj@k of 2, 4, 8 responses: 1 of 3 problems")
        and "'b' has 1" in line
    )


def test_a_vote_takes_for_one_answer_what_the_verifier_does() -> None:
    answers = [("3", 1.0), ("3", 1.0), ("1/2", 0.0), ("0.5", 0.0), (".5", 0.0)]
    rows = [row("a", "sample", i, value, answer) for i, (answer, value) in enumerate(answers)]
    assert summarise(rows)["sample"]["maj_at_k"] == 1.0
    assert summarise(rows, Same())["sample"]["maj_at_k"] == 0.0


def test_models_are_compared_on_the_problems_that_both_scored() -> None:
    before = scored(row(str(i), "greedy", 0, 0.0) for i in range(20))
    after = scored(row(str(i), "greedy", 0, 1.0 if i else None) for i in range(20))
    (found,) = compare_in_order({"sft": {"bench": before}, "ppo": {"bench": after}})
    assert (found.before, found.after, found.moved.problems) == ("sft", "ppo", 19)
    assert found.moved.difference == 1.0 and 0.6 < found.moved.low < 0.8


def test_behaviours_are_counted_by_words_and_repetition_by_fourgrams() -> None:
    text = "Start with 3. 3 + 7 = 10, too high. No partner for 3, go back. Start with 4. Let me check: correct."
    counts = behaviour_counts(text)
    assert counts == {
        "alternative": 1,
        "backtrack": 1,
        "backward_chaining": 0,
        "self_correction": 0,
        "subgoal": 0,
        "verify": 3,
    }
    assert sum(behaviour_counts("The checkered backyard").values()) == 0
    assert repetition("a b c d e f g") == repetition("a b") == 0
    assert repetition("a b c d " * 25) > 0.9


def test_checks_are_counted_by_response_and_one_by_one() -> None:
    """Problem a has one check, b three: of two responses each, one of a's and none of b's passes all."""
    passed = {"a": [[True], [False]], "b": [[True, True, False], [False, True, False]]}
    rows = [
        {**one, "correctness": {**one["correctness"], "checks": {"strict": checks}}}
        for id, both in passed.items()
        for index, checks in enumerate(both)
        for one in [row(id, "sample", index, float(all(checks)))]
    ]
    levels = summarise(rows)["sample"]["checks"]["strict"]
    assert levels["prompt"]["value"] == pytest.approx(1 / 4) and levels["instruction"][
        "value"
    ] == pytest.approx(4 / 8)
    assert levels["instruction"]["low"] <= 0.5 <= levels["instruction"]["high"]
    assert summarise([row("a", "greedy", 0, 1.0)])["greedy"]["checks"] == {}


def test_the_interval_of_single_checks_is_that_of_a_ratio_over_problems() -> None:
    """Beside a bootstrap of the ratio itself, on prompts with one to five checks."""
    rng = np.random.default_rng(3)
    problems = [[rng.random(rng.integers(1, 6)) < 0.7] for _ in range(200)]
    scores = [Score("v", "value", 1.0, checks={"s": of_one[0].tolist()}) for of_one in problems]
    rows = [Scored(id=str(i), kind="sample", correctness=s) for i, s in enumerate(scores)]
    found = check_levels(rows)["s"].instruction
    passed, asked = np.array([(p[0].sum(), len(p[0])) for p in problems]).T
    draws = rng.integers(0, 200, (4000, 200))
    low, high = np.quantile(passed[draws].sum(1) / asked[draws].sum(1), [0.025, 0.975])
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.01)
    assert found.value == pytest.approx(passed.sum() / asked.sum())
