"""Test-time strategies: what each chooses, and what the choice costs, recomputed by other means."""

import itertools
import json
import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import gamma, logsumexp, softmax
from scipy.stats import weibull_min

from rlsp_cli.evals.answer import Scored
from rlsp_cli.evals.metrics import SameAnswer
from rlsp_cli.evals.metrics.vote import RIGHT, ballots, maj_at_k, remembering
from rlsp_cli.evals.strategies import (
    STRATEGIES,
    Candidate,
    Responses,
    Strategy,
    StrategyTable,
    strategy_table,
)
from rlsp_cli.evals.strategies.rpc import rpc_weights
from rlsp_cli.evals.strategies.selection import selections
from rlsp_cli.evals.strategies.table import usual_scorer
from rlsp_cli.evals.strategies.token_budget import (
    Outcome,
    SingleAnswers,
    choose_within,
    single_answers,
)
from rlsp_cli.evals.strategies.weibull import fit_mixture
from rlsp_cli.rewards.sample import Score
from tests.optional import present

VOTE = STRATEGIES["self_consistency"]
self_consistency, weighted_vote, best_of_n, rpc = (
    STRATEGIES[name].chance for name in ("self_consistency", "weighted_vote", "best_of_n", "rpc")
)


def strategy_metrics(
    rows: list[dict[str, Any]],
    names: list[str],
    same: SameAnswer | None = None,
    scorer: str | None = None,
    against: SingleAnswers | None = None,
) -> Any:
    """What results.json has of the table, read back once."""
    table = strategy_table(list(map(Scored.from_json, rows)), names, same, scorer, against)
    data = asdict(table)
    assert StrategyTable.from_json(json.loads(json.dumps(data))) == table
    return data


def one_answer(label: str, rows: list[dict[str, Any]], kinds: list[str]) -> SingleAnswers | None:
    return single_answers(label, list(map(Scored.from_json, rows)), kinds)


def candidates(*given: tuple[str | None, float | None]) -> list[Candidate]:
    """From (answer, score); `3` is right, and the score is the likelihood too."""
    return [
        Candidate(
            f"{n}: {answer}", RIGHT if answer == "3" else answer, answer == "3", 10, score, score
        )
        for n, (answer, score) in enumerate(given)
    ]


def row(
    id: str,
    index: int,
    answer: str | None,
    tokens: int | None = 10,
    kind: str = "sample",
    **more: object,
) -> dict[str, Any]:
    correctness = {"outcome": "value", "value": float(answer == "3"), "answer": answer}
    made = {
        "id": id,
        "kind": kind,
        "index": index,
        "response": f"{index}: {answer}",
        "num_tokens": tokens,
    }
    return {**made, "truncated": False, "correctness": correctness, **more}


def only(found: Any, strategy: str, selection: str) -> Any:
    (match,) = [
        one for one in found["rows"] if (one["strategy"], one["selection"]) == (strategy, selection)
    ]
    return match


def test_a_vote_counts_answers_and_ties_are_decided_by_lot() -> None:
    assert self_consistency(candidates(("3", 0), ("4", 0), ("3", 0))) == 1.0
    assert self_consistency(candidates(("3", 0), ("4", 0), ("5", 0))) == pytest.approx(1 / 3)
    assert self_consistency(candidates((None, 0), (None, 0), ("3", 0))) == 1.0
    assert self_consistency(candidates((None, 0), (None, 0))) == 0.0


def test_a_weighted_vote_is_of_scores_and_one_without_a_score_has_no_weight() -> None:
    assert weighted_vote(candidates(("3", 0.6), ("4", 0.3), ("4", 0.2))) == 1.0
    assert weighted_vote(candidates(("3", 0.5), ("4", 0.3), ("4", 0.2))) == 0.5
    assert weighted_vote(candidates(("3", None), ("4", 0.1))) == 0.0
    assert (
        weighted_vote(candidates(("3", 0.1), ("4", 0.1), ("4", 0.1), ("3", 0.1), ("3", None)))
        == 0.5
    )


def test_the_best_of_n_has_the_highest_score_though_it_has_no_answer() -> None:
    assert best_of_n(candidates(("3", 0.6), ("4", 0.3), ("4", 0.6))) == 0.5
    assert best_of_n(candidates(("3", -2.0), ("4", -3.0), ("4", None))) == 1.0
    assert best_of_n(candidates(("3", 0.1), (None, 0.2))) == 0.0
    assert best_of_n(candidates(("3", None), ("4", None))) == 0.5


@pytest.mark.parametrize("seed", range(6))
def test_the_fit_of_two_weibulls_is_scipys(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = (200, 64, 32, 16, 16, 8)[seed]
    high, low = ((12.0, 0.85), (5.0, 0.4)) if seed % 2 else ((6.0, 0.9), (3.0, 0.3))
    sizes = [n * 5 // 8, n - n * 5 // 8]
    parts = [
        weibull_min.rvs(k, scale=s, size=m, random_state=rng)
        for (k, s), m in zip((high, low), sizes, strict=True)
    ]
    x = np.concatenate(parts)

    def parts_of(p: np.ndarray) -> np.ndarray:
        high = np.log(p[0]) + weibull_min.logpdf(x, p[1], scale=p[2])
        return np.stack([high, np.log(1 - p[0]) + weibull_min.logpdf(x, p[3], scale=p[4])])

    def loss(p: np.ndarray) -> float:
        return float(-logsumexp(parts_of(p), axis=0).sum())

    bounds = [(0.2, 0.8), *[(0.05, 500)] * 4]
    theirs = minimize(
        loss, [0.6, *high, *low], bounds=bounds, method="Nelder-Mead", options={"maxiter": 2000}
    )
    ours = fit_mixture(x.tolist())
    flat = np.array([ours.weight, *ours.high, *ours.low])
    assert sum(map(ours.log_likelihood, x.tolist())) == pytest.approx(-loss(flat), abs=1e-9)
    assert loss(flat) <= theirs.fun + 1e-4
    assert ours.high.mean() == pytest.approx(ours.high.scale * gamma(1 + 1 / ours.high.shape))
    share = softmax(parts_of(flat), axis=0)[0]
    assert [ours.high_share(value) for value in x.tolist()] == pytest.approx(share)
    if n >= 64:  # the truth is known
        assert ours.weight == pytest.approx(5 / 8, abs=0.1) and ours.high.scale == pytest.approx(
            high[1], abs=0.05
        )
        told = [ours.high_share(value) > 0.5 for value in x.tolist()]
        assert np.mean(told == np.repeat([True, False], sizes)) > 0.93


@pytest.mark.parametrize(
    "values",
    [[1e-9, 1e-8, 0.5, 1.0], [0.5] * 3 + [0.6], [0.3, 0.31], [1e-300, 1.0], [0.99, 1.0] * 40],
)
def test_a_fit_of_odd_values_is_finite(values: list[float]) -> None:
    fit = fit_mixture(values)
    assert (
        all(math.isfinite(number) for number in (*fit.high, *fit.low)) and 0.2 <= fit.weight <= 0.8
    )
    assert fit.high.mean() >= fit.low.mean() and all(
        0 <= fit.high_share(value) <= 1 for value in values
    )


def test_rpc_sums_likelihoods_of_different_responses_and_prunes_the_unlikely() -> None:
    likely = [("3", p) for p in (0.88, 0.9, 0.91)]
    unlikely = [("4", p) for p in (0.29, 0.3, 0.31, 0.32, 0.33, 0.34, 0.35, 0.36, 0.37)]
    several = candidates(*likely, *unlikely)
    assert self_consistency(several) == 0.0 and sum(p for _, p in unlikely) > sum(
        p for _, p in likely
    )
    assert rpc_weights(several) == [0.88, 0.9, 0.91, *[0.0] * 9] and rpc(several) == 1.0
    again = [*several[:3], *[several[3]._replace(likelihood=0.9, text="the same")] * 4]
    assert (
        rpc_weights(again) == [0.88, 0.9, 0.91, 0.9, 0.0, 0.0, 0.0]
        and self_consistency(again) == 0.0
    )
    assert rpc(again) == 1.0


def test_rpc_prunes_nothing_where_likelihoods_are_too_few_for_the_fit() -> None:
    few = candidates(("3", 0.9), ("4", 0.3), ("4", 0.31), ("4", 0.32))
    assert rpc_weights(few) == [0.9, 0.3, 0.31, 0.32] and rpc(few) == 0.0
    equal = candidates(*[("3", 0.5)] * 3, *[("4", 0.5)] * 3)
    assert rpc(equal) == 0.5
    assert rpc(candidates(("3", None), ("4", 0.2))) == 0.0 and rpc(candidates((None, 0.5))) == 0.0


def test_rpc_keeps_what_is_above_the_mean_whatever_the_fit() -> None:
    values = np.random.default_rng(0).uniform(0.2, 0.9, 40)
    weights = rpc_weights(candidates(*(("3", float(v)) for v in values)))
    kept = [weight > 0 for weight in weights]
    assert all(
        keep for keep, value in zip(kept, values, strict=True) if value >= values.mean()
    ) and not all(kept)


def test_a_budget_is_spent_to_the_token_in_expectation() -> None:
    answers = candidates(("4", 0), ("3", 0), ("3", 0))
    several = [
        one._replace(tokens=tokens) for one, tokens in zip(answers, (10, 20, 40), strict=True)
    ]
    assert choose_within(several, 30, VOTE) == Outcome(0.5, 2, 30)
    assert choose_within(several, 40, VOTE) == Outcome(0.5 + 0.25 * 0.5, 2.25, 40)
    assert choose_within(several, 70, VOTE) == Outcome(1.0, 3, 70)
    assert choose_within(several, 99, VOTE) == Outcome(1.0, 3, 70, ran_out=True)
    assert choose_within(several, 4, VOTE) == Outcome(0.0, 1, 10)  # somebody must answer


@pytest.mark.parametrize("seed", range(3))
def test_equal_tokens_are_those_of_the_mean_over_lots(seed: int) -> None:
    rng = np.random.default_rng(seed)
    answers = candidates(*((answer, 0.0) for answer in rng.choice(["3", "4", "5"], 8)))
    several = [
        one._replace(tokens=tokens)
        for one, tokens in zip(answers, rng.integers(5, 50, 8).tolist(), strict=True)
    ]
    budget = 90.0
    lengths = [present(one.tokens) for one in several]
    paid = list(itertools.accumulate(lengths))
    count = sum(total <= budget for total in paid)
    takes = rng.random(20_000) < (budget - paid[count - 1]) / lengths[count]
    by_lot = [choose_within(several[: count + int(take)], math.inf, VOTE) for take in (False, True)]
    found = choose_within(several, budget, VOTE)
    assert found.accuracy == pytest.approx(
        np.mean([by_lot[int(take)].accuracy for take in takes]), abs=0.02
    )
    assert np.mean([by_lot[int(take)].tokens for take in takes]) == pytest.approx(budget, abs=1)


def test_a_vote_of_all_responses_is_maj_at_k() -> None:
    rng = np.random.default_rng(1)
    rows = [row(str(i), j, str(rng.integers(3, 6))) for i in range(20) for j in range(7)]
    found = only(strategy_metrics(rows, ["self_consistency"]), "self_consistency", "all")
    expected = [maj_at_k(ballot, 7) for ballot in ballots(map(Scored.from_json, rows)).values()]
    assert found["accuracy"]["value"] == pytest.approx(statistics.fmean(expected))
    assert found["responses"] == 7 and found["tokens"] == 70 and found["difference"] is None


def test_without_a_long_answer_there_is_the_curve_in_the_order_of_the_responses() -> None:
    rows = [row("a", j, "3" if j < 2 else "4", tokens=j) for j in reversed(range(5))] + [
        row("b", j, "3") for j in range(6)
    ]
    found = strategy_metrics(rows, ["self_consistency", "best_of_n"])
    curve = [
        (one["selection"], one["accuracy"]["value"], one["responses"], one["tokens"])
        for one in found["rows"]
    ]
    assert curve == [
        ("first 1", 1, 1, 5),
        ("first 2", 1, 2, 10.5),
        ("first 4", 0.75, 4, 23),
        ("all", 0.5, 5.5, 35),
    ]
    assert found["one_answer"] is None
    assert found["missing"] == [
        "best_of_n: no log-probabilities and no stated confidence to choose by; name a scorer"
    ]


def test_both_sides_cost_the_same_and_their_difference_is_paired() -> None:
    rng = np.random.default_rng(2)
    rows = [
        row(str(i), j, str(rng.integers(3, 5)), int(rng.integers(10, 30)))
        for i in range(30)
        for j in range(12)
    ]
    long = [
        row(str(i), j, "3" if i % 3 else "4", 100, "greedy") for i in range(2, 32) for j in range(1)
    ]
    found = strategy_metrics(
        rows, ["self_consistency"], against=one_answer("long", long, ["sample", "greedy"])
    )
    equal, all_of_them = (only(found, "self_consistency", name) for name in ("equal tokens", "all"))
    assert found["one_answer"]["tokens"] == 100 and found["one_answer"]["accuracy"][
        "value"
    ] == pytest.approx(19 / 28)
    assert (
        equal["tokens"] == 100
        and equal["ran_out"] == 0
        and 3 < equal["responses"] < 10
        and equal["problems"] == 28
    )
    assert all_of_them["responses"] == 12 and all_of_them["tokens"] > 200
    moved = equal["difference"]
    assert moved["difference"] == pytest.approx(equal["accuracy"]["value"] - 19 / 28)
    assert moved["verdict"] == "cannot be told apart" and moved["low"] <= 0 <= moved["high"]
    assert found["missing"] == []


def test_a_problem_whose_first_response_is_too_long_is_told_by_its_tokens() -> None:
    rows = [row("a", 0, "3", 500), row("a", 1, "4", 10), row("b", 0, "3", 40), row("b", 1, "3", 40)]
    long = one_answer("long", [row("a", 0, "3", 100), row("b", 0, "4", 100)], ["sample"])
    equal = only(
        strategy_metrics(rows, ["self_consistency"], against=long),
        "self_consistency",
        "equal tokens",
    )
    assert equal["tokens"] == (500 + 80) / 2 and equal["responses"] == 1.5 and equal["ran_out"] == 1


def test_what_is_missing_is_said_in_a_line() -> None:
    rows = [row("a", 0, "3", None), row("a", 1, "4", None)]
    long = one_answer("before", [row("a", 0, "3", 100)], ["sample"])
    found = strategy_metrics(rows, ["self_consistency", "rpc"], against=long)
    assert [one["selection"] for one in found["rows"]] == ["all"]
    assert found["missing"] == [
        "rpc: not every response has a log-probability and a number of tokens (scores.logprob, num_tokens)",
        "no comparison at equal tokens: num_tokens of the sampled responses is missing",
    ]
    unanswered = [
        row("a", 0, None) | {"correctness": {"outcome": "value", "value": 1.0, "answer": None}}
    ]
    (line,) = strategy_metrics(unanswered, ["self_consistency"])["missing"]
    assert (
        line == "self_consistency: the verifier extracts no answers, so there is nothing to vote on"
    )
    negative = [row("a", 0, "3", scores={"rm": -1.0})]
    found = strategy_metrics(negative, ["weighted_vote", "best_of_n"], scorer="rm")
    assert found["missing"] == [
        "weighted_vote: rm gives scores below 0, and votes need weights of at least 0"
    ]
    assert only(found, "best_of_n", "all")["accuracy"]["value"] == 1.0
    unscored = [
        row("a", 0, "3") | {"correctness": {"outcome": "timeout", "value": None, "answer": None}}
    ]
    (line,) = strategy_metrics(unscored, ["self_consistency"])["missing"]
    assert line == "self_consistency: no problem has scored samples to choose from"


def test_log_probabilities_are_the_usual_score_per_token_and_a_stated_confidence_is_the_next() -> (
    None
):
    rows = [
        row("a", 0, "3", 2, scores={"logprob": -1.0}),
        row("a", 1, "4", 20, scores={"logprob": -4.0}),
    ]
    found = strategy_metrics(rows, ["best_of_n", "weighted_vote"])
    assert (
        found["scorer"] == "logprob" and only(found, "best_of_n", "all")["accuracy"]["value"] == 0.0
    )
    sure = [
        row("a", 0, "3") | {"response": "3, confidence: 90%"},
        row("a", 1, "4") | {"response": "confidence: 2"},
    ]
    found = strategy_metrics(sure, ["best_of_n"])
    assert (
        found["scorer"] == "confidence"
        and only(found, "best_of_n", "all")["accuracy"]["value"] == 1.0
    )


def test_budget_forcing_is_the_long_answer_where_no_other_is_given() -> None:
    rows = [row("a", j, "4", 10) for j in range(8)]
    rows += [row("a", 0, "3", 60, "forced"), row("a", 0, "4", 9, "greedy")]
    found = strategy_metrics(rows, ["budget_forcing", "self_consistency"])
    assert found["one_answer"]["label"] == "budget_forcing" and found["one_answer"]["tokens"] == 60
    assert only(found, "self_consistency", "equal tokens")["responses"] == 6
    assert only(found, "greedy", "all")["tokens"] == 9
    long = one_answer("other", [row("a", 0, "3", 30)], ["sample"])
    found = strategy_metrics(rows, ["budget_forcing"], against=long)
    assert (
        only(found, "budget_forcing", "all")["tokens"] == 60
        and found["one_answer"]["label"] == "other"
    )


@pytest.mark.parametrize(
    ("same", "votes"),
    [
        (lambda one, text: one.extracted == text, True),  # a number
        (lambda one, text: one.value == 1.0, False),  # a puzzle: the reference is not looked at
        (lambda one, text: True, False),  # unit tests: any program passes another one
        (
            lambda one, text: False,
            False,
        ),  # a target that the answer must reach: an expression is none
    ],
)
def test_there_is_no_vote_where_only_the_reference_would_tell_which_answers_are_one(
    same: Any, votes: bool
) -> None:
    rows = [
        row(str(i), j, answer) for i in range(4) for j, answer in enumerate(["3", "4", "5", "3"])
    ]
    found = strategy_metrics(
        rows, ["self_consistency"], lambda pairs: [same(*pair) for pair in pairs]
    )
    assert bool(found["rows"]) is votes
    assert [line.partition(":")[2][:35] for line in found["missing"]] == [
        " the bench's references are not ans"
    ] * (not votes)


def test_a_remembering_ask_asks_once() -> None:
    asked: Counter[tuple[int, str]] = Counter()

    def ask(pairs: Sequence[tuple[Scored, str]]) -> list[bool]:
        asked.update((one.index, text) for one, text in pairs)
        return [one.extracted == text for one, text in pairs]

    rows = [
        Scored.from_json(row("a", j, answer)) for j, answer in enumerate(["3", "0.5", "1/2", ".50"])
    ]
    again = remembering(ask)
    assert ballots(rows, again) == ballots(rows, again) and max(asked.values()) == 1


class Shortest(Strategy):
    """A strategy as a user of the package would write it."""

    name = "shortest"
    reads_logprobs = False

    def unusable(self, responses: Responses) -> str | None:
        counted = all(candidate.tokens is not None for candidate in responses.all)
        return None if counted else "not every response has a number of tokens"

    def chance(self, candidates: Sequence[Candidate]) -> float:
        return float(min(candidates, key=lambda candidate: candidate.tokens or 0).right)


def test_a_strategy_of_ones_own_has_the_same_rows_and_says_itself_what_it_lacks(
    monkeypatch: Any,
) -> None:
    monkeypatch.setitem(STRATEGIES, "shortest", Shortest())
    rows = [row("a", 0, "4", 30), row("a", 1, "3", 10), row("a", 2, "4", 20)]
    table = strategy_metrics(
        rows, ["shortest"], against=one_answer("long", [row("a", 0, "3", 35)], ["sample"])
    )
    accuracies = {one["selection"]: one["accuracy"]["value"] for one in table["rows"]}
    assert accuracies == {
        "equal tokens": 0.5,
        "all": 1.0,
    }  # half of the second response is paid for
    uncounted = strategy_metrics([row("a", 0, "3", None)], ["shortest"])
    assert (
        uncounted["missing"] == ["shortest: not every response has a number of tokens"]
        and not uncounted["rows"]
    )


def test_responses_are_ranked_by_likelihood_if_all_have_one_and_else_by_what_they_state() -> None:
    likely = [scored_row(0, num_tokens=2, scores={"logprob": -1.0}), scored_row(1, num_tokens=2)]
    stated = scored_row(2, response="Confidence: 90%")
    assert usual_scorer(likely[:1]) == "logprob"
    assert usual_scorer(likely) is None and usual_scorer([]) is None
    assert usual_scorer([*likely, stated]) == "confidence"


def test_what_a_critic_read_and_wrote_for_a_response_is_paid_by_whoever_uses_the_response() -> None:
    rows = [row("a", 0, "3", kind="greedy")]
    rows += [row("a", n, "3", other_tokens=5) for n in range(2)]
    found = only(strategy_metrics(rows, ["self_consistency"]), "self_consistency", "all")
    assert found["tokens"] == 30 and found["tokens_policy"] == 20


def scored_row(index: int, **more: Any) -> Scored:
    return Scored(id="a", kind="sample", index=index, correctness=Score("v", "value", 1.0), **more)


@pytest.mark.parametrize(
    ("counts", "names"),
    [
        ([1], ["all"]),
        ([4, 4], ["first 1", "first 2", "all"]),
        ([5, 9], ["first 1", "first 2", "first 4", "all"]),
        ([1, 8], ["first 1", "all"]),
    ],
)
def test_without_a_reference_strategies_choose_from_the_first_that_every_problem_has(
    counts: list[int], names: list[str]
) -> None:
    one = Candidate("3", RIGHT, right=True)
    responses = Responses({str(i): [one] * count for i, count in enumerate(counts)})
    assert [part.name for part in selections(responses, None, counted=False)] == names


def test_with_a_reference_they_choose_at_equal_tokens_only_where_tokens_are_counted() -> None:
    responses = Responses({"a": [Candidate("3", RIGHT, right=True, tokens=5)] * 4})
    long = one_answer("long", [row("a", 0, "3", 12)], ["sample"])
    assert [part.name for part in selections(responses, long, counted=False)] == ["all"]
    equal, everything = selections(responses, long, counted=True)
    assert (equal.name, everything.name) == ("equal tokens", "all")
    assert equal.outcomes(responses.problems, VOTE)["a"].tokens == 12
    assert everything.outcomes(responses.problems, VOTE)["a"].tokens == 20
