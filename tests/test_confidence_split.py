"""confidence_split: which answers are accepted, what the rest is asked, and what both cost."""

import pytest

from rlsp_cli.evals.answer import Scored
from rlsp_cli.evals.metrics.vote import RIGHT
from rlsp_cli.evals.strategies import Candidate, strategy_table
from rlsp_cli.evals.strategies.confidence_split import ConfidenceSplit, confidence
from rlsp_cli.evals.strategies.selection import EqualTokens, First
from rlsp_cli.evals.strategies.token_budget import Outcome, SingleAnswers
from rlsp_cli.recipe.strategy import Split
from rlsp_cli.rewards.sample import Score

ANSWERS = {"r": RIGHT, "-": None}
HALF_OF_THREE = ConfidenceSplit(Split(votes=3, accept_above=0.5))


def candidates(answers: str) -> list[Candidate]:
    """One candidate of 10 tokens for each sign: `r` is the right answer, `-` none."""
    return [
        Candidate(f"{n}", ANSWERS.get(answer, answer), answer == "r", 10)
        for n, answer in enumerate(answers)
    ]


@pytest.mark.parametrize(
    ("answers", "share"), [("rrb", 2 / 3), ("r--", 1 / 3), ("---", 0.0), ("rb", 1 / 2)]
)
def test_confidence_is_the_share_of_the_most_frequent_answer(answers: str, share: float) -> None:
    assert confidence(candidates(answers)) == pytest.approx(share)


def test_an_answer_above_the_share_is_accepted_and_any_other_asked_again() -> None:
    accepted, again = candidates("bbrrrr"), candidates("bcrrrr")
    assert HALF_OF_THREE.asked(accepted) == accepted[:3]
    assert HALF_OF_THREE.asked(again) == again

    # A share of exactly a half is not above it.
    two = ConfidenceSplit(Split(votes=2, accept_above=0.5))
    assert two.asked(candidates("brr")) == candidates("brr")


def test_the_second_vote_is_of_both_rounds() -> None:
    found = First().outcomes({"a": candidates("bbrrrr"), "b": candidates("bcrr")}, HALF_OF_THREE)
    assert found == {"a": Outcome(0.0, 3, 30), "b": Outcome(1.0, 4, 40)}


def test_what_accepted_problems_save_is_spent_on_the_others() -> None:
    # 50 tokens each: a and b are accepted after 30, so c and d have 50 + 20 each.
    reference = {id: Outcome(0.0, 1, 50) for id in "abcd"}
    problems = {
        "a": candidates("rrrbbbb"),
        "b": candidates("bb-rrrr"),
        "c": candidates("bcrrrbb"),
        "d": candidates("bcdrrbb"),
    }
    found = EqualTokens(SingleAnswers("long", "sample", reference)).outcomes(
        problems, HALF_OF_THREE
    )
    assert [found[id].tokens for id in "abcd"] == [30, 30, 70, 70]

    # In c, r and b have three votes each; in d, b has three and r two.
    assert [found[id].accuracy for id in "abcd"] == [1.0, 0.0, 0.5, 0.0]
    assert not any(outcome.ran_out for outcome in found.values())


def test_too_few_responses_for_the_rest_are_said() -> None:
    reference = {id: Outcome(0.0, 1, 100) for id in "ab"}
    equal = EqualTokens(SingleAnswers("long", "sample", reference))
    found = equal.outcomes({"a": candidates("rrrr"), "b": candidates("bcrr")}, HALF_OF_THREE)
    assert found == {"a": Outcome(1.0, 3, 30), "b": Outcome(1.0, 4, 40, ran_out=True)}


def test_the_recipes_numbers_decide_and_without_a_second_round_the_reason_is_said() -> None:
    rows = [scored(index, answer) for index, answer in enumerate("44333")]

    def accuracy(split: Split) -> float:
        table = strategy_table(rows, ["confidence_split"], split=split)
        return table.rows[-1].accuracy.value

    assert accuracy(Split(votes=2, accept_above=0.5)) == 0.0
    assert accuracy(Split(votes=2, accept_above=1.0)) == 1.0

    (line,) = strategy_table(rows[:4], ["confidence_split"]).missing
    assert line == (
        "confidence_split: no problem has more than eval.split.votes (4) responses, "
        "so none can be asked again; draw more by eval.samples"
    )


def scored(index: int, answer: str) -> Scored:
    score = Score("v", "value", float(answer == "3"), answer=answer)
    return Scored(id="a", kind="sample", index=index, correctness=score, num_tokens=10)
