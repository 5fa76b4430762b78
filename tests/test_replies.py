"""Replies of a model: what they show of a recipe before it is trained."""

import math
from collections.abc import Sequence

import pytest

from rlsp_cli.preflight import Checked, Reply, look_at_replies
from rlsp_cli.rewards.sample import Sample, SampleScore, Score


def reply(
    text: str, correct: float | None = 0.0, reward: float | None = 0.0, truncated: bool = False
) -> Reply:
    """A reply to one prompt; it states its text, unless it was cut off."""
    outcome = "value" if correct is not None else "error"
    answer = None if truncated else text
    verdict = Score("judge", outcome, correct, answer, reason="no such file")  # type: ignore[arg-type]
    sample = Sample("What is 1 + 1?", text, "2", "0", truncated=truncated)
    return Reply(sample, SampleScore(verdict, (), reward))


def look(*replies: Reply, excuse: str | None = None) -> dict[str, Checked]:
    return {one.check: one for one in look_at_replies(replies, excuse)}


def failed(*replies: Reply) -> list[str]:
    return [name for name, one in look(*replies).items() if one.state == "failed"]


def test_replies_of_which_some_are_right_pass_every_check() -> None:
    assert failed(reply("2", 1.0, 1.0), reply("3"), reply("4"), reply("5")) == []


def test_a_prompt_that_gets_the_same_reply_each_time_teaches_nothing() -> None:
    assert failed(reply("3"), reply("3")) == ["replies vary", "rewards vary", "some are right"]


@pytest.mark.parametrize(
    ("correct", "cause"), [(0.0, "no reply is right"), (1.0, "too easy to learn from")]
)
def test_equal_rewards_are_too_hard_or_too_easy_problems(correct: float, cause: str) -> None:
    found = look(reply("2", correct, correct), reply("3", correct, correct))
    assert cause in (found["rewards vary"].cause or "")


@pytest.mark.parametrize("reward", [None, math.nan, math.inf])
def test_a_reply_without_a_finite_reward_is_told_with_its_component(reward: float | None) -> None:
    found = look(reply("2", 1.0, 1.0), reply("3", None, reward))["rewards are finite"]
    assert found.state == "failed"
    assert found.cause == "judge: error: no such file"


@pytest.mark.parametrize(
    ("ends", "cause"), [(1, "raise ppo.max_new_tokens"), (0, "the end token never comes")]
)
def test_replies_that_are_cut_off_are_told_from_those_that_never_end(ends: int, cause: str) -> None:
    replies = [reply("2", 1.0, 1.0)] * ends + [reply(f"{n}", truncated=True) for n in range(3)]
    found = look(*replies)
    assert cause in (found["replies end"].cause or "")
    assert found["answers are found"].state == "failed"


def test_what_is_excused_is_neither_passed_nor_failed() -> None:
    """Of a model with random weights, say; that its replies vary is asked all the same."""
    found = look(reply("x", truncated=True), reply("x", truncated=True), excuse="not trained")
    states = {name: one.state for name, one in found.items()}
    assert states["replies vary"] == "failed"
    assert states["replies end"] == states["some are right"] == states["rewards vary"] == "untested"
    assert found["replies end"].found.endswith("not trained")


def test_groups_are_the_replies_to_one_prompt() -> None:
    """Rewards that differ between prompts alone are no advantage in any group."""
    other = reply("5", 1.0, 1.0)
    far = Reply(Sample("Another?", "5", "5", "1"), other.score)
    replies: Sequence[Reply] = (reply("3"), reply("4"), far, far)
    assert look(*replies)["rewards vary"].state == "failed"
