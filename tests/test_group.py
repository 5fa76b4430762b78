"""Samples of one prompt that are scored together."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, cast

import pytest

from rlsp_cli.recipe.reward import Reward
from rlsp_cli.rewards.call import Call, Use
from rlsp_cli.rewards.group import Group
from rlsp_cli.rewards.pool import Pool
from rlsp_cli.rewards.sample import Sample, SampleScore, Score

WAIT_S = 30
SAMPLES = [Sample(prompt="2 + 2?", response=text) for text in ("4", "5", "4!")]

Values = Callable[[Sequence[Sample]], list[float]]


class FakePool:
    """A pool of threads whose plugins are functions; it remembers the calls."""

    def __init__(self, plugins: dict[str, Values]) -> None:
        self.plugins = plugins
        self.calls: list[Call] = []
        self._threads = ThreadPoolExecutor(len(SAMPLES))

    def submit(self, job: Callable[[], Any]) -> "Future[Any]":
        return self._threads.submit(job)

    def run(self, call: Call) -> list[Score]:
        self.calls.append(call)
        values = self.plugins[call.use.name](call.samples)
        return [Score(call.use.name, "value", value) for value in values]


def verdicts(*correct: float) -> list[Callable[[], Score]]:
    return [lambda c=c: Score("v", "value", c, answer=f"is {c:g}") for c in correct]  # type: ignore[misc]


def scored(
    pool: FakePool,
    exploration: Sequence[Use],
    reward: dict[str, Any],
    asked: Sequence[Callable[[], Score]],
    alphas: Sequence[float] = (1.0, 1.0, 1.0),
) -> list["Future[SampleScore]"]:
    futures: list[Future[SampleScore]] = [Future() for _ in SAMPLES]
    group = Group(cast(Pool, pool), exploration, Reward.model_validate(reward), SAMPLES)
    group.start(asked, alphas, futures)
    return futures


def alone(name: str) -> Use:
    return Use("exploration_reward", name, {})


def comparing(name: str) -> Use:
    return Use("exploration_reward", name, {}, takes_group=True)


def test_rewards_that_compare_see_all_samples_of_the_group_once_with_their_verdicts() -> None:
    pool = FakePool({"rank": lambda samples: [float(n) for n in range(len(samples))]})
    reward = {"exploration": {"use": "rank"}}
    futures = scored(pool, [comparing("rank")], reward, verdicts(1.0, 0.0, 1.0))

    scores = [future.result(WAIT_S) for future in futures]
    (call,) = pool.calls
    assert [sample.response for sample in call.samples] == ["4", "5", "4!"]
    assert [sample.correct for sample in call.samples] == [1.0, 0.0, 1.0]
    assert [sample.answer for sample in call.samples] == ["is 1", "is 0", "is 1"]
    assert [score.exploration[0].value for score in scores] == [0.0, 1.0, 2.0]


def test_a_reward_of_one_sample_sees_that_samples_verdict() -> None:
    pool = FakePool({"agree": lambda samples: [samples[0].correct or 0.0]})
    reward = {"exploration": {"use": "agree"}}
    futures = scored(pool, [alone("agree")], reward, verdicts(1.0, 0.0, 1.0))

    scores = [future.result(WAIT_S) for future in futures]
    assert [score.exploration[0].value for score in scores] == [1.0, 0.0, 1.0]
    assert all(len(call.samples) == 1 for call in pool.calls)


def test_components_stay_in_the_recipes_order_so_that_each_meets_its_own_weight() -> None:
    pool = FakePool(
        {
            "first": lambda samples: [1.0] * len(samples),
            "second": lambda samples: [2.0] * len(samples),
            "third": lambda samples: [3.0] * len(samples),
        }
    )
    uses = [comparing("first"), alone("second"), comparing("third")]
    weights = {"first": 100, "second": 10, "third": 1}
    exploration = [{"use": name, "weight": weight} for name, weight in weights.items()]
    reward = {"exploration": exploration, "clip": 1000}
    futures = scored(pool, uses, reward, verdicts(0.0, 0.0, 0.0), alphas=(0.0, 0.0, 0.0))

    score = futures[0].result(WAIT_S)
    assert [part.component for part in score.exploration] == ["first", "second", "third"]
    assert score.reward == 100 * 1 + 10 * 2 + 1 * 3


def test_each_sample_is_mixed_with_its_own_alpha() -> None:
    pool = FakePool({"none": lambda samples: [0.0] * len(samples)})
    reward = {"exploration": {"use": "none"}}
    futures = scored(pool, [alone("none")], reward, verdicts(1.0, 1.0, 1.0), (0.2, 0.5, 0.9))

    assert [future.result(WAIT_S).reward for future in futures] == [0.2, 0.5, 0.9]


def test_an_error_of_the_pool_reaches_all_who_wait() -> None:
    def broken() -> Score:
        raise OSError("no more processes")

    pool = FakePool({"none": lambda samples: [0.0] * len(samples)})
    asked = [*verdicts(1.0, 1.0), broken]
    futures = scored(pool, [alone("none")], {"exploration": {"use": "none"}}, asked)

    for future in futures:
        with pytest.raises(OSError, match="no more processes"):
            future.result(WAIT_S)


def test_a_client_that_stops_waiting_does_not_take_the_others_scores_along() -> None:
    go = threading.Event()

    def slow() -> Score:
        go.wait(WAIT_S)
        return Score("v", "value", 1.0)

    pool = FakePool({"none": lambda samples: [0.0] * len(samples)})
    asked = [slow, *verdicts(1.0, 1.0)]
    futures = scored(pool, [alone("none")], {"exploration": {"use": "none"}}, asked)
    was_cancelled = futures[0].cancel()
    go.set()

    assert not was_cancelled
    assert [future.result(WAIT_S).reward for future in futures] == [1.0, 1.0, 1.0]
