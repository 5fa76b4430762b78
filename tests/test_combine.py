"""How correctness and exploration become one reward."""

import math
from typing import Any

import pytest

from rlsp_cli.errors import UsageError
from rlsp_cli.recipe.data import Data, PromptSource
from rlsp_cli.recipe.model import Model
from rlsp_cli.recipe.ppo import Ppo
from rlsp_cli.recipe.reward import Reward
from rlsp_cli.recipe.schedule import Schedule, value_at
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.rewards.combine import alpha_of, combine
from rlsp_cli.rewards.sample import Score, StepScore


def value(x: float, answer: str | None = "1") -> Score:
    return Score("c", "value", x, answer)


@pytest.mark.parametrize(
    ("correct", "tokens", "mode", "expected"),
    [
        (1.0, 1000, "rlsp", 0.6),
        (0.0, 1000, "rlsp", -0.2),
        (1.0, 250, "rlsp", 0.0),
        (1.0, 1000, "released_code", 0.0),
        (0.0, 1000, "released_code", -1.0),
        (1.0, 250, "released_code", -3.0),
    ],
)
def test_the_mixture_in_closed_form(
    correct: float, tokens: int, mode: str, expected: float
) -> None:
    reward = Reward.model_validate({"combine": mode, "exploration": {"use": "length"}})
    assert combine(value(correct), [value(-1000 / tokens)], reward, 0.8).reward == pytest.approx(
        expected
    )


def test_the_released_code_punishes_a_missing_answer() -> None:
    released = Reward.model_validate({"combine": "released_code", "exploration": {"use": "length"}})
    assert combine(value(0.0, None), [value(-0.25)], released, 0.8).reward == -0.75
    assert combine(value(1.0, None), [value(-0.25)], released, 0.8).reward == 0.75


def test_a_recipe_says_what_a_wrong_response_without_an_answer_counts_as() -> None:
    reward = Reward.model_validate({"unanswered": -1.0})
    wrong, empty = Score("v", "value", 0.0, "5"), Score("v", "value", 0.0)
    right = Score("v", "value", 1.0)
    assert [combine(score, [], reward, 1.0).reward for score in (wrong, empty, right)] == [0, -1, 1]
    released = Reward.model_validate({"unanswered": 0.0, "combine": "released_code"})
    assert combine(empty, [], released, 1.0).reward == 0.0


@pytest.mark.parametrize("mode", ["rlsp", "released_code"])
def test_the_mixture_is_cut_at_both_ends(mode: str) -> None:
    reward = Reward.model_validate({"combine": mode, "exploration": {"use": "length"}, "clip": 0.9})
    assert combine(value(0.0), [value(-50.0)], reward, 0.8).reward == -0.9
    assert combine(value(1.0), [value(50.0)], reward, 0.8).reward == 0.9


@pytest.mark.parametrize("correct", [0.0, 1.0])
def test_shaping_squeezes_exploration_into_less_than_a_right_answer_is_worth(
    correct: float,
) -> None:
    reward = Reward.model_validate({"combine": "rm_shaping", "exploration": {"use": "length"}})
    assert combine(value(correct), [value(-2.0)], reward, 0.8).reward == pytest.approx(
        1 / (1 + math.exp(0.8 * 2.0)) + correct - 1
    )


def test_an_unscored_component_leaves_the_response_without_a_reward() -> None:
    reward = Reward.model_validate({"exploration": [{"use": "length", "weight": 2}]})
    assert combine(value(1.0), [value(-0.5)], reward, 0.8).reward == pytest.approx(0.8 - 0.2)
    assert combine(value(1.0), [Score("e", "timeout")], reward, 0.8).reward is None
    assert combine(Score("c", "error"), [value(1.0)], reward, 0.8).reward is None


def test_alpha_moves_along_its_schedule() -> None:
    assert value_at(0.8, 7, 10) == 0.8
    linear = Schedule(start=0.2, end=1.0)
    assert [value_at(linear, step, 5) for step in range(6)] == pytest.approx(
        [0.2, 0.4, 0.6, 0.8, 1.0, 1.0]
    )
    assert [value_at(linear, step, 2) for step in (0, 1)] == [0.2, 1.0] and value_at(
        linear, 0, 1
    ) == 0.2
    cosine = Schedule(start=0.0, end=1.0, shape="cosine", steps=5)
    eased = (1 - math.cos(math.pi / 4)) / 2  # a quarter of the way, where a line would be at 0.25
    assert [value_at(cosine, step, 99) for step in (0, 1, 2, 4, 50)] == pytest.approx(
        [0, eased, 0.5, 1, 1]
    )


def recipe(alpha: float | Schedule, ppo: Ppo | None = None) -> Recipe:
    data = Data(prompts=PromptSource(source="task:pair_sum"))
    reward = Reward(alpha=alpha)
    return Recipe(name="x", model=Model(path="x"), data=data, reward=reward, ppo=ppo)


def test_without_a_trainer_alpha_ends_where_the_schedule_or_the_steps_of_ppo_do() -> None:
    assert alpha_of(recipe(0.7), 3) == 0.7
    assert alpha_of(recipe(Schedule(start=0.2, end=1.0), Ppo(steps=5)), 3) == pytest.approx(0.8)
    assert alpha_of(
        recipe(Schedule(start=0.2, end=1.0, steps=3), Ppo(steps=5)), 1
    ) == pytest.approx(0.6)
    assert alpha_of(recipe(Schedule(start=0.2, end=1.0, steps=3)), 1) == pytest.approx(0.6)


def test_a_schedule_without_an_end_knows_its_first_value_alone() -> None:
    for ppo in (None, Ppo()):
        endless = recipe(Schedule(start=0.2, end=1.0), ppo)
        assert alpha_of(endless, 0) == 0.2
        with pytest.raises(UsageError, match=r"give reward.alpha.steps or ppo.steps"):
            alpha_of(endless, 1)


def of_steps(*scores: float | None) -> Score:
    """A step scorer's part with these scores, of which the refined values are other numbers."""
    return Score(
        "p", "value", 0.3, steps=[StepScore(n, n + 1, one, 0.0) for n, one in enumerate(scores)]
    )


@pytest.mark.parametrize(
    ("mode", "correct", "scores", "expected"),
    [
        ("process_verified", 1.0, [0.9, 0.1], 0.8 + 0.2 * 0.3),
        ("process_verified", 0.0, [0.9, 0.9], 0.2 * 0.3),
        ("process_strict", 1.0, [0.9, 0.6], 1.0),
        ("process_strict", 1.0, [0.9, None, 0.6], 1.0),
        ("process_strict", 1.0, [0.9, 0.4], 0.0),
        ("process_strict", 0.0, [0.9, 0.9], 0.0),
    ],
)
def test_outcomes_count_with_the_process_or_only_if_every_step_is_right(
    mode: str, correct: float, scores: list[float | None], expected: float
) -> None:
    reward = Reward.model_validate({"combine": mode, "exploration": {"use": "x", "steps": {}}})
    found = combine(value(correct), [of_steps(*scores)], reward, 0.8)
    assert found.reward == pytest.approx(expected)


def test_where_no_step_was_scored_there_is_no_reward_rather_than_a_verified_one() -> None:
    reward = Reward.model_validate(
        {"combine": "process_strict", "exploration": {"use": "x", "steps": {}}}
    )
    assert combine(value(1.0), [Score("p", "abstain")], reward, 0.8).reward is None


@pytest.mark.parametrize(
    ("reward", "words"),
    [
        ({"combine": "process_strict", "exploration": {"use": "length"}}, "needs a step scorer"),
        (
            {"combine": "gated_wrong", "exploration": {"use": "x", "steps": {"dense": True}}},
            "steps.dense pays each step by itself",
        ),
    ],
)
def test_mixtures_that_lack_what_they_mix_are_refused(reward: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Reward.model_validate(reward)
