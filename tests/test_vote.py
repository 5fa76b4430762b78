"""Votes are counted by the verifier's equality, exactly, and cost few asks."""

import itertools
import random
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from rlsp_cli.data import Problem
from rlsp_cli.evals.answer import Scored
from rlsp_cli.evals.benches import Bench, Sampling
from rlsp_cli.evals.evaluate import evaluate
from rlsp_cli.evals.metrics.vote import Ballot, ballots, maj_at_k
from rlsp_cli.evals.samplers import ReplaySampler, Response
from rlsp_cli.recipe.eval import Eval
from rlsp_cli.recipe.reward import Reward
from rlsp_cli.rewards.sample import Score
from rlsp_cli.rewards.scorer import Scorer
from rlsp_cli.runs.paths import AnswerPaths


def rows(*answers: tuple[str | None, bool | None], id: str = "a") -> list[Scored]:
    return [
        Scored(id=id, kind="sample", index=i, correctness=score(answer, right))
        for i, (answer, right) in enumerate(answers)
    ]


def score(answer: str | None, right: bool | None) -> Score:
    return (
        Score("v", "timeout", answer=answer)
        if right is None
        else Score("v", "value", float(right), answer)
    )


class Same:
    """Answers are the same when their numbers are; remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def __call__(self, pairs: Sequence[tuple[Scored, str]]) -> list[bool]:
        texts = [(row.extracted or "", text) for row, text in pairs]
        self.asked += texts
        return [self.value(left) == self.value(right) for left, right in texts]

    @staticmethod
    def value(text: str) -> float:
        top, _, bottom = text.partition("/")
        return float(top) / float(bottom or 1)


def draws(ballot: Ballot) -> list[str]:
    wrong = [f"w{i}" for i, size in enumerate(ballot.wrong) for _ in range(size)]
    return ["right"] * ballot.right + wrong + [""] * ballot.unanswered


def won(votes: Sequence[str]) -> float:
    counts = Counter(vote for vote in votes if vote)
    most = [answer for answer, n in counts.items() if n == max(counts.values())]
    return statistics.fmean(answer == "right" for answer in most) if most else 0.0


@pytest.mark.parametrize("seed", range(12))
def test_maj_at_k_is_the_mean_over_all_draws(seed: int) -> None:
    rng = random.Random(seed)
    ballot = Ballot(
        rng.randint(0, 4),
        tuple(rng.randint(1, 3) for _ in range(rng.randint(0, 3))),
        rng.randint(0, 2),
    )
    votes = draws(ballot)
    for k in range(1, len(votes) + 1):
        expected = statistics.fmean(map(won, itertools.combinations(votes, k)))
        assert maj_at_k(ballot, k) == pytest.approx(expected)


def test_maj_at_k_of_many_responses_is_quick_and_between_known_ends() -> None:
    ballot = Ballot(20, (10, 5, *(1,) * 25), 4)
    curve = [maj_at_k(ballot, k) for k in (1, 2, 4, 8, 16, 32, 64)]
    assert curve[0] == pytest.approx(20 / 64) and curve[-1] == 1.0 and curve == sorted(curve)


def test_answers_are_told_apart_by_text_without_a_verifier_and_no_answer_is_no_vote() -> None:
    found = ballots(
        rows(("4", True), (" 4", True), ("5", False), ("5 ", False), (None, False), ("6", None))
    )
    assert found == {"a": Ballot(2, (2,), 1)}


def test_wrong_answers_that_the_verifier_holds_for_one_vote_together() -> None:
    same = Same()
    several = rows(
        ("3", True), ("3", True), ("1/2", False), ("0.5", False), (".5", False), ("0.25", False)
    )
    assert ballots(several, same) == {"a": Ballot(2, (3, 1), 0)}
    assert ballots(several) == {"a": Ballot(2, (1, 1, 1, 1), 0)}
    assert max(Counter(frozenset(pair) for pair in same.asked).values()) == 1


def test_nobody_is_asked_where_it_cannot_matter() -> None:
    same = Same()
    all_wrong = rows(("1/2", False), ("0.5", False))
    one_wrong = rows(("3", True), ("1/2", False), ("1/2", False), id="b")
    assert ballots([*all_wrong, *one_wrong], same) == {
        "a": Ballot(0, (1, 1), 0),
        "b": Ballot(1, (2,), 0),
    }
    assert same.asked == []
    integers = rows(("3", True), *((str(n), False) for n in range(4, 40)))
    assert ballots(integers, same)["a"].wrong == (1,) * 36
    assert len(same.asked) == 1  # whether the verifier takes answers for references


def test_the_asks_are_at_most_four_for_each_text() -> None:
    same = Same()
    found = ballots(rows(("3", True), *((f"{n}/7", False) for n in range(50, 150))), same)
    assert found["a"].wrong == (1,) * 100 and len(same.asked) <= 4 * 100 + 1


def test_a_verifier_that_takes_anything_for_a_reference_is_not_believed() -> None:
    several = rows(("def f(): 1", True), ("def f(): 2", False), ("def f(): 3", False))
    assert ballots(several, lambda pairs: [True] * len(pairs)) == {"a": Ballot(1, (1, 1), 0)}


@pytest.fixture(scope="module")
def scorer() -> Iterator[Scorer]:
    reward = Reward.model_validate({"correctness": {"use": "math_verify"}, "workers": 1})
    with Scorer(reward) as running:
        yield running


def test_spellings_of_one_number_outvote_the_right_answer_by_math_verify(
    scorer: Scorer, tmp_path: Path
) -> None:
    answers = ["3", "3", "\\frac12", "0.5", "1/2", "3.0", "7"]
    responses = [Response(f"\\boxed{{{answer}}}", 10 * n) for n, answer in enumerate(answers, 1)]
    bench = Bench(
        "one", [Problem("a", "?", "3")], "by hand", sampling=Sampling(samples=len(answers))
    )
    settings = Eval(greedy=False)
    found = evaluate(
        bench,
        ReplaySampler({"a": responses}),
        scorer.verify,
        settings,
        seed=0,
        prompt=str,
        paths=AnswerPaths(tmp_path),
    ).sample
    assert found and found.accuracy and found.accuracy.value == pytest.approx(3 / 7)
    assert found.maj_at[7].value == pytest.approx(
        1 / 2
    )  # 3, 3, 3.0 against 1/2 three times; chance decides
    assert found.maj_at[1].value == pytest.approx(3 / 7)
    assert found.accuracy_under == pytest.approx({16: 1 / 7, 32: 2 / 7, 64: 3 / 7, 128: 3 / 7})
