"""The ledger of a step, the alarms of a run, and the breaker that stops it."""

from typing import Any

import pytest

from rlsp_cli.errors import SafetyError
from rlsp_cli.recipe.reward import Reward
from rlsp_cli.rewards.alarms import alarms
from rlsp_cli.rewards.breaker import refuse_failing
from rlsp_cli.rewards.combine import combine
from rlsp_cli.rewards.ledger import ledger
from rlsp_cli.rewards.sample import Sample, SampleScore, Score


def recipe(**fields: Any) -> Reward:
    return Reward.model_validate(
        {"exploration": [{"use": "length"}, {"use": "novelty", "weight": 0.5}], **fields}
    )


def scored(
    reward: Reward, c: float | None, *es: float | None, alpha: float = 0.8, answer: str | None = "4"
) -> SampleScore:
    parts = [
        Score("c", "error" if v is None else "value", v, reason="broke", ms=7.0) for v in (c, *es)
    ]
    return combine(Score("v", parts[0].outcome, c, answer, "broke", 9.0), parts[1:], reward, alpha)


def samples(n: int, group: int = 1, **fields: Any) -> list[Sample]:
    return [
        Sample(f"p{i // group}", f"w{i} a b c d", id=str(i // group), num_tokens=10 * (i + 1))
        for i in range(n)
    ]


@pytest.mark.parametrize(
    ("mode", "c", "es", "expected"),
    [
        ("rlsp", 1.0, (0.4, 0.2), 0.8 + 0.2 * 0.5),
        ("gated_correct", 1.0, (0.4, 0.2), 0.8 + 0.2 * 0.5),
        ("gated_correct", 0.0, (0.4, 0.2), 0.0),
        ("gated_wrong", 1.0, (0.4, 0.2), 0.8),
        ("gated_wrong", 0.0, (0.4, 0.2), 0.2 * 0.5),
        ("rm_shaping", 1.0, (0.0, 0.0), 0.5),
        ("rm_shaping", 0.0, (0.0, 0.0), -0.5),
        ("ensemble", 1.0, (0.4, 0.2), 0.8 + 0.2 * 0.2),
        ("ensemble", 0.0, (0.4, 0.2), 0.0),
    ],
)
def test_every_mode_in_closed_form(
    mode: str, c: float, es: tuple[float, float], expected: float
) -> None:
    score = scored(recipe(combine=mode), c, *es)
    assert score.reward == pytest.approx(expected)
    assert score.streams == pytest.approx((c, es[0] + 0.5 * es[1]))


def test_rm_shaping_never_lets_a_wrong_answer_outrank_a_right_one() -> None:
    reward = recipe(combine="rm_shaping", clip=100.0)
    assert scored(reward, 1.0, -50.0, 0.0).reward >= scored(reward, 0.0, 50.0, 0.0).reward  # type: ignore[operator]


def test_a_failed_component_skips_the_sample_or_counts_as_its_penalty() -> None:
    skip, penalise = recipe(), recipe(exploration=[{"use": "length", "on_error": {"penalise": -1}}])
    assert (
        scored(skip, 1.0, None, 0.5).reward is None and scored(skip, 1.0, None, 0.5).streams is None
    )
    score = scored(penalise, 1.0, None)
    assert score.reward == pytest.approx(0.8 - 0.2) and score.exploration[0].value is None
    assert (
        scored(
            recipe(exploration=[{"use": "length", "on_timeout": {"penalise": -1}}]), 1.0, None
        ).reward
        is None
    )


def test_too_many_failures_stop_the_run_and_name_the_ten_worst() -> None:
    reward = recipe(failure_limit=0.25)
    good, bad = scored(reward, 1.0, 0.1, 0.1), scored(reward, 1.0, None, 0.1)
    refuse_failing(samples(48), [good] * 36 + [bad] * 12, reward)
    with pytest.raises(SafetyError) as caught:
        refuse_failing(samples(48), [good] * 35 + [bad] * 13, reward)
    assert "13 of 48 responses failed" in str(caught.value)
    with pytest.raises(SafetyError, match=r"^step 8: 2 of 2 responses failed"):
        refuse_failing([Sample("", "", step=7)] * 2, [bad] * 2, reward)
    assert str(caught.value).count("\n  ") == 10 and "35: c error, 7 ms: broke" in str(caught.value)


def test_a_penalised_failure_is_still_a_failure_and_stop_means_at_once() -> None:
    reward = recipe(
        exploration=[{"use": "length", "on_error": {"penalise": -1}}], failure_limit=0.5
    )
    with pytest.raises(SafetyError, match="2 of 3 responses failed"):
        refuse_failing(
            samples(3), [scored(reward, 1.0, None)] * 2 + [scored(reward, 1.0, 0.1)], reward
        )
    stop = recipe(exploration=[{"use": "length", "on_error": "stop"}], failure_limit=1.0)
    with pytest.raises(SafetyError, match="as the recipe says `stop`"):
        refuse_failing(samples(3), [scored(stop, 1.0, None), *[scored(stop, 1.0, 0.1)] * 2], stop)


def test_wrong_over_right_counts_pairs_of_a_group() -> None:
    reward = recipe(exploration=[{"use": "length"}])
    pays_right = [
        scored(reward, c, e, alpha=0.5) for c, e in ((1, 0.1), (0, 0.2), (1, 0.0), (0, 0.1))
    ]
    pays_long = [
        scored(reward, c, e, alpha=0.1) for c, e in ((1, 0.1), (0, 0.9), (1, 0.0), (0, 0.0))
    ]
    assert ledger(samples(4, 2), pays_right, reward, 0.5)["reward/wrong_over_right"] == 0.0
    row = ledger(samples(4, 2), pays_long, reward, 0.1)
    assert row["reward/wrong_over_right"] == 0.5 and row["reward/flat_groups"] == 0.0
    whole = ledger(samples(4), pays_long, reward, 0.1)  # one sample a prompt: the step is the group
    assert whole["reward/wrong_over_right"] == 0.5 and "reward/flat_groups" not in whole


def test_correlations_shares_and_ngrams() -> None:
    reward = recipe(exploration=[{"use": "length"}])
    scores = [scored(reward, float(i % 2), i / 10, alpha=0.5) for i in range(6)]
    row = ledger(samples(6), scores, reward, 0.5)
    assert row["exploration/c/corr_tokens"] == pytest.approx(1.0)
    assert 0 < row["exploration/c/corr_correct"] < 1 and 0 < row["exploration/c/share"] < 0.5
    assert row["response/unique_4grams"] == pytest.approx(7 / 12)  # "a b c d" is shared by all
    flat = ledger(samples(3), [scored(reward, 1.0, 0.1)] * 3, reward, 0.5)
    assert "exploration/c/corr_tokens" not in flat and flat["reward/std"] == 0.0


def collapse() -> list[dict[str, Any]]:
    """The shape of the small-scale reproduction's GRPO run with a length reward: length 515 -> 414 by step 110 and
    -> 1,260, KL 0.2 -> 12 at steps 50 to 73 and -> 149 -> 1,000, accuracy (no box is -0.5) 0.02 ->
    -0.22.
    """
    points = {  # step: tokens, KL, accuracy, answer rate
        0: (515, 0.0, 0.02, 0.8),
        50: (470, 0.2, 0.03, 0.8),
        73: (440, 12.0, 0.0, 0.75),
        110: (414, 149.0, -0.05, 0.6),
        200: (1000, 600.0, -0.15, 0.4),
        300: (1260, 1000.0, -0.22, 0.3),
    }
    steps, rows = sorted(points), []
    for step in range(301):
        left = max(s for s in steps if s <= step)
        right = min(s for s in steps if s >= step)
        part = (step - left) / (right - left) if right > left else 0.0
        values = [a + (b - a) * part for a, b in zip(points[left], points[right], strict=True)]
        keys = ("response/tokens", "kl/response", "correctness/mean", "response/answered")
        rows.append(
            {
                "step": step,
                "reward/std": 0.3,
                "response/repetition": 0.1,
                **dict(zip(keys, values, strict=True)),
            }
        )
    return rows


def test_the_hidden_collapse_of_the_reproduction_fires_and_early() -> None:
    found = {alarm.kind: alarm for alarm in alarms(collapse())}
    assert {"kl_jump", "length_without_gain"} == set(found)
    assert found["kl_jump"].step < 80 and found["length_without_gain"].step < 180
    assert all(alarm.text.startswith("look here, step ") for alarm in found.values())


def healthy(step: int, **changes: float) -> dict[str, Any]:
    row = {
        "response/tokens": 26 + step,
        "kl/response": step / 8,
        "correctness/mean": 0.2 + step / 40,
    }
    return {
        "step": step,
        **row,
        "response/answered": 1.0,
        "reward/std": 0.3,
        "response/repetition": 0.0,
        **changes,
    }


def test_a_run_that_grows_longer_and_better_is_left_alone() -> None:
    assert alarms([healthy(step) for step in range(30)]) == []
    assert alarms([healthy(step) for step in range(9)]) == []
    assert alarms([]) == []


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"reward/std": 0.0}, "no_variance"),
        ({"reward/flat_groups": 0.95}, "no_variance"),
        ({"reward/wrong_over_right": 0.2}, "wrong_over_right"),
    ],
)
def test_rewards_that_teach_nothing_or_the_wrong_thing_are_pointed_at(
    changes: dict[str, float], kind: str
) -> None:
    assert [alarm.kind for alarm in alarms([healthy(step, **changes) for step in range(12)])] == [
        kind
    ]


def test_growing_repetition_is_pointed_at_once() -> None:
    rows = [healthy(step, **{"response/repetition": step / 30}) for step in range(30)]
    assert [alarm.kind for alarm in alarms(rows)] == ["repetition"]


def paid(step: int, share: float, mean: float = 0.5) -> dict[str, Any]:
    return healthy(step, **{"exploration/p/from_repeats": share, "exploration/p/mean": mean})


def test_steps_that_are_paid_again_are_pointed_at() -> None:
    (alarm,) = alarms([paid(step, 0.4) for step in range(12)])
    assert alarm.kind == "repeated_steps" and alarm.step == 9
    assert alarm.text == (
        "look here, step 10: 40% of what p pays is for steps that repeat an earlier one"
    )


def test_a_return_that_grows_with_repetition_is_pointed_at_before_most_of_it_is_repeated() -> None:
    growing = [paid(step, share=step / 60, mean=step / 30) for step in range(12)]
    assert [alarm.kind for alarm in alarms(growing)] == ["repeated_steps"]
    flat = [paid(step, share=step / 60, mean=0.5) for step in range(12)]
    assert alarms(flat) == [] == alarms([paid(step, 0.0) for step in range(12)])
