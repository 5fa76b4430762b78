"""Saved rollouts under another reward, against numbers worked out by hand."""

from collections.abc import Sequence
from typing import Any

import pytest

from rlsp_cli.rewards.rescore import Difference, rescore
from rlsp_cli.rewards.sample import Sample, SampleScore, Score

Rewards = Sequence[float | None]


def row(
    prompt: str, reward: float | None, *, step: int = 0, correct: float = 1.0
) -> dict[str, Any]:
    correctness = {"value": correct, "answer": "before"}
    return {"step": step, "prompt": prompt, "id": "", "reward": reward, "correctness": correctness}


def compared(rows: Sequence[dict[str, Any]], new: Rewards, correct: float = 1.0) -> Difference:
    """The difference to a reward that gives these values, in the order of the rows."""
    samples = [Sample(prompt=row["prompt"], response=str(n)) for n, row in enumerate(rows)]

    def score(asked: Sequence[Sample], step: int) -> list[SampleScore]:
        verdict = Score("v", "value", correct, answer="now")
        return [SampleScore(verdict, (), new[int(sample.response)]) for sample in asked]

    return rescore(rows, samples, score)


def test_ranks_are_those_within_a_prompt() -> None:
    # Over all six responses, rewards of 10 to 30 beside 1 to 3 would be far from the same order.
    rows = [row(prompt, reward) for prompt in "ab" for reward in (1, 2, 3)]
    assert compared(rows, [10, 20, 30, 1, 2, 3]).rank_correlation == pytest.approx(1.0)


def test_the_correlation_is_averaged_over_prompts() -> None:
    rows = [row(prompt, reward) for prompt in "ab" for reward in (1, 2, 3)]
    assert compared(rows, [1, 2, 3, 3, 2, 1]).rank_correlation == pytest.approx(0.0)


def test_equal_rewards_share_their_mean_rank() -> None:
    # Ranks 0.5, 0.5, 2 beside 0, 1, 2: covariance 1.5, variances 1.5 and 2.
    rows = [row("a", reward) for reward in (1, 1, 2)]
    found = compared(rows, [1, 2, 3]).rank_correlation
    assert found == pytest.approx(1.5 / (1.5 * 2) ** 0.5)


def test_with_one_response_to_each_prompt_the_step_is_the_group() -> None:
    rows = [row(prompt, reward) for prompt, reward in zip("abc", (1, 2, 3), strict=True)]
    assert compared(rows, [3, 2, 1]).rank_correlation == pytest.approx(-1.0)


def test_rewards_that_do_not_vary_have_no_correlation() -> None:
    assert compared([row("a", 1), row("a", 1)], [1, 2]).rank_correlation is None


def test_a_sign_change_is_an_advantage_that_crosses_the_mean_of_its_group() -> None:
    # Both means are 1: the last is above it before, the first afterwards.
    rows = [row("a", reward) for reward in (0, 0, 3)]
    assert compared(rows, [3, 0, 0]).sign_changes == pytest.approx(2 / 3)


def test_what_one_side_did_not_score_is_counted_and_compared_with_nothing() -> None:
    rows = [row("a", None), row("a", 1), row("a", 3)]
    found = compared(rows, [5, None, 7])
    assert (found.responses, found.compared) == (3, 1)
    assert (found.unscored_before, found.unscored_now) == (1, 1)
    assert (found.reward_before, found.reward_now) == (3, 7)
    assert found.rank_correlation is None


def test_flips_are_counted_by_direction_and_listed_with_both_answers() -> None:
    rows = [row("a", 0, step=4, correct=0.0) for _ in range(7)] + [row("a", 1)]
    found = compared(rows, [1.0] * 8)
    assert (found.now_right, found.now_wrong) == (7, 0)
    assert len(found.flips) == 5
    assert found.flips[0] == {
        "id": "",
        "step": 4,
        "now": True,
        "reference": None,
        "answer_before": "before",
        "answer_now": "now",
    }
    assert compared(rows, [0.0] * 8, correct=0.0).now_wrong == 1


def test_each_step_is_scored_by_itself_with_its_number() -> None:
    asked: list[tuple[int, list[str]]] = []

    def score(samples: Sequence[Sample], step: int) -> list[SampleScore]:
        asked.append((step, [sample.response for sample in samples]))
        return [SampleScore(Score("v", "value", 1.0), (), 1.0) for _ in samples]

    rows = [row("a", 1, step=0), row("a", 1, step=3), row("b", 1, step=0)]
    samples = [Sample(prompt=row["prompt"], response=str(n)) for n, row in enumerate(rows)]
    rescore(rows, samples, score)
    assert asked == [(0, ["0", "2"]), (3, ["1"])]
