"""The formulas of PPO against slow, obvious versions of themselves."""

import math

import pytest
import torch

from rlsp_cli.engine.advantage import (
    adapted_kl_coef,
    advantages_and_returns,
    gae,
    group_norm,
    kl_estimate,
    leave_one_out,
    masked_mean,
    minus_mean,
    mixed,
    rewards_to_go,
    token_rewards,
    whiten,
)
from rlsp_cli.engine.loss import policy_loss, value_loss
from rlsp_cli.recipe.ppo import Ppo

MASK = torch.tensor([[0.0, 1, 1, 1, 0], [0, 0, 1, 1, 1]])


def test_token_rewards_sum_to_the_score_minus_the_kl_tax() -> None:
    kl = torch.randn(2, 5, generator=torch.manual_seed(0))
    scores = torch.tensor([0.7, -0.2])
    rewards = token_rewards(scores, kl, 0.05, MASK)
    torch.testing.assert_close(rewards.sum(1), scores - 0.05 * (kl * MASK).sum(1))


def test_the_score_lies_on_the_last_response_token() -> None:
    rewards = token_rewards(torch.tensor([1.0, 2.0]), torch.zeros(2, 5), 0.05, MASK)
    assert rewards.tolist() == [[0, 0, 0, 1, 0], [0, 0, 0, 0, 2]]


@pytest.mark.parametrize(("gamma", "gae_lambda"), [(1.0, 0.95), (0.9, 1.0), (0.9, 0.5)])
def test_gae_is_the_discounted_sum_of_temporal_differences(gamma: float, gae_lambda: float) -> None:
    torch.manual_seed(1)
    rewards, values = (
        torch.randn(2, 5),
        torch.randn(2, 5),
    )  # what they are outside the mask must not matter
    advantages, returns = gae(rewards, values, MASK, gamma, gae_lambda)
    for row in range(2):
        inside = MASK[row].nonzero()[:, 0].tolist()
        for i, t in enumerate(inside):
            expected = 0.0
            for k, u in enumerate(inside[i:]):
                following = values[row, u + 1] if u + 1 in inside else 0.0
                expected += (gamma * gae_lambda) ** k * float(
                    rewards[row, u] + gamma * following - values[row, u]
                )
            assert float(advantages[row, t]) == pytest.approx(expected, abs=1e-5)
    torch.testing.assert_close(returns, (advantages + values) * MASK)
    assert advantages[MASK == 0].abs().sum() == 0


def test_rewards_to_go_sum_what_follows() -> None:
    rewards = torch.tensor([[0.0, 1, 2, 3, 0], [0, 0, 1, 1, 1]])
    assert rewards_to_go(rewards, MASK, 1.0).tolist() == [[0, 6, 5, 3, 0], [0, 0, 3, 2, 1]]


def test_leave_one_out_compares_with_the_others_and_passes_over_the_unscored() -> None:
    scores = torch.tensor([[1.0, 0, 0, 0], [1, 0, 5, 5]])
    scored = torch.tensor([[1.0, 1, 1, 1], [1, 1, 0, 0]])
    expected = torch.tensor([[1, -1 / 3, -1 / 3, -1 / 3], [1, -1, 0, 0]])
    torch.testing.assert_close(leave_one_out(scores, scored), expected)


def test_the_groups_mean_is_taken_off_and_passes_over_the_unscored() -> None:
    scores = torch.tensor([[1.0, 0, 0, 0], [1, 0, 5, 5], [3, 7, 7, 7]])
    scored = torch.tensor([[1.0, 1, 1, 1], [1, 1, 0, 0], [1, 0, 0, 0]])
    expected = torch.tensor([[0.75, -0.25, -0.25, -0.25], [0.5, -0.5, 0, 0], [0, 0, 0, 0]])
    torch.testing.assert_close(minus_mean(scores, scored), expected)


@pytest.mark.parametrize("score", [1.0, 0.9, 0.7, 1 / 3])
def test_group_norm_is_zero_where_all_scores_are_equal(score: float) -> None:
    for size in (3, 7, 8):
        assert group_norm(torch.full((1, size), score), torch.ones(1, size)).abs().max() < 1e-6


def test_group_norm_divides_by_the_deviation_of_what_is_scored() -> None:
    normed = group_norm(torch.tensor([[0.0, 0, 1, 9]]), torch.tensor([[1.0, 1, 1, 0]]))
    assert normed[0, 3] == 0
    torch.testing.assert_close(normed[0, :3].std(), torch.tensor(1.0))


def test_whitened_advantages_have_mean_zero_and_variance_one_on_the_mask() -> None:
    for spread in (3.0, 0.03):
        values = whiten(torch.randn(2, 5, generator=torch.manual_seed(0)) * spread + 1, MASK)
        inside = values[MASK == 1]
        assert float(inside.mean()) == pytest.approx(0, abs=1e-5)
        assert float(inside.var(unbiased=False)) == pytest.approx(1, abs=1e-3)
        assert values[MASK == 0].abs().sum() == 0


def test_a_mean_is_over_the_mask_and_zero_over_nothing() -> None:
    values = torch.tensor([[3.0, 5.0, 10.0]])
    found = [
        float(masked_mean(values, torch.tensor([mask])))
        for mask in ([0.0, 1, 0], [1.0, 1, 0], [0.0, 0, 0])
    ]
    assert found == [5, 4, 0]


@pytest.mark.parametrize(
    ("estimator", "whitened"),
    [
        ("gae", True),
        ("reinforce", True),
        ("reinforce_baseline", True),
        ("rloo", False),
        ("group_norm", False),
        ("dr_grpo", False),
    ],
)
def test_advantages_are_whitened_where_the_recipe_asks_and_the_estimator_does(
    estimator: str, whitened: bool
) -> None:
    def advantages(asked: bool) -> torch.Tensor:
        options = {"whiten_advantages": asked, "samples_per_prompt": 2}
        settings = Ppo.model_validate({"estimator": estimator, **options})
        return advantages_and_returns(torch.tensor([1.0, 3.0]), zeros, zeros, MASK, 0.0, settings)[
            0
        ]

    zeros = torch.zeros(2, 5)
    plain = advantages(asked=False)
    torch.testing.assert_close(advantages(asked=True), whiten(plain, MASK) if whitened else plain)
    assert plain[MASK == 1].mean().abs() > 0.5


def test_whitening_makes_no_signal_of_rounding() -> None:
    values = (0.7 + 1e-7 * torch.randn(2, 5, generator=torch.manual_seed(0))) * MASK
    assert whiten(values, MASK).abs().max() < 0.01


def test_kl_estimators_agree_in_expectation_and_k3_is_never_negative() -> None:
    torch.manual_seed(0)
    p, q = (torch.randn(50) / 2).log_softmax(0), (torch.randn(50) / 2).log_softmax(0)
    exact = float((p.exp() * (p - q)).sum())
    for estimator in ("k1", "k3"):
        assert float((p.exp() * kl_estimate(p, q, estimator)).sum()) == pytest.approx(
            exact, rel=1e-4
        )
    assert (kl_estimate(p, q, "k3") >= 0).all()
    torch.testing.assert_close(kl_estimate(p, q, "k2"), (p - q) ** 2 / 2)


@pytest.mark.parametrize("estimator", ["k1", "k2", "k3"])
def test_no_single_token_has_a_kl_of_more_than_ten(estimator: str) -> None:
    assert kl_estimate(torch.tensor([-80.0, 80.0]), torch.zeros(2), estimator).abs().max() == 10


def test_the_clip_stops_the_gradient_where_the_ratio_has_moved_far_enough() -> None:
    old = torch.zeros(1, 2)
    logp = torch.tensor([[0.5, -0.5]], requires_grad=True)
    loss, clipped = policy_loss(logp, old, torch.tensor([[1.0, 1.0]]), torch.ones(1, 2), 0.2)
    loss.backward()
    assert logp.grad is not None
    assert logp.grad[0, 0] == 0 and logp.grad[0, 1] != 0
    assert clipped == 1


@pytest.mark.parametrize(
    ("ratio", "better", "expected", "clips"),
    [(1.5, 1, -1.2, 1), (0.5, 1, -0.5, 0), (1.5, -1, 1.5, 0), (0.5, -1, 0.8, 1)],
)
def test_the_clip_takes_the_worse_of_both_ratios_on_either_side(
    ratio: float, better: float, expected: float, clips: int
) -> None:
    logp = torch.tensor([[ratio]]).log()
    loss, clipped = policy_loss(
        logp, torch.zeros(1, 1), torch.tensor([[better]]), torch.ones(1, 1), 0.2
    )
    assert float(loss) == pytest.approx(expected) and clipped == clips


@pytest.mark.parametrize(("moved", "better", "power"), [(200.0, -1.0, 20), (-200.0, 1.0, -20)])
def test_the_logarithm_of_the_ratio_is_cut_at_20(moved: float, better: float, power: int) -> None:
    loss, _ = policy_loss(
        torch.tensor([[moved]]), torch.zeros(1, 1), torch.tensor([[better]]), torch.ones(1, 1), 0.2
    )
    assert float(loss) == pytest.approx(-better * math.exp(power))


@pytest.mark.parametrize(
    ("value", "wanted", "error", "clips"),
    [(1.0, 1.0, 0.8, 1), (-1.0, -1.0, 0.8, 1), (1.0, -1.0, 2.0, 0), (0.1, 1.0, 0.9, 0)],
)
def test_the_value_loss_takes_the_worse_of_free_and_clipped(
    value: float, wanted: float, error: float, clips: int
) -> None:
    loss, clipped = value_loss(
        torch.tensor([[value]]), torch.zeros(1, 1), torch.tensor([[wanted]]), torch.ones(1, 1), 0.2
    )
    assert float(loss) == pytest.approx(error**2 / 2) and clipped == clips


def test_losses_are_sums_over_the_tokens_of_the_mask_alone() -> None:
    torch.manual_seed(4)
    new, old, target = torch.randn(3, 2, 5).unbind()
    for loss in (policy_loss, value_loss):
        whole = loss(new, old, target, MASK, 0.2)
        tokens = MASK.nonzero().tolist()
        one = torch.ones(1, 1)
        alone = [
            loss(new[r, t].view(1, 1), old[r, t].view(1, 1), target[r, t].view(1, 1), one, 0.2)
            for r, t in tokens
        ]
        torch.testing.assert_close(whole[0], sum(part for part, _ in alone))
        assert whole[1] == sum(clipped for _, clipped in alone) > 0


def test_separate_streams_do_not_let_one_set_the_scale_of_the_other() -> None:
    correctness, exploration = torch.tensor([1.0, 1, 1, 1]), torch.tensor([0.1, 0.11, 0.12, 0.13])
    scored, alpha = torch.ones(4), 0.8
    together = (alpha * correctness + (1 - alpha) * exploration)[:, None]
    blown_up = mixed(together, [1.0], scored, 4, "group_norm")
    apart = mixed(
        torch.stack([correctness, exploration], 1), [alpha, 1 - alpha], scored, 4, "group_norm"
    )
    torch.testing.assert_close(
        blown_up, group_norm(exploration[None], scored[None])[0], atol=1e-2, rtol=0
    )
    torch.testing.assert_close(apart, (1 - alpha) * group_norm(exploration[None], scored[None])[0])


def test_one_stream_is_the_estimators_own_and_streams_without_a_baseline_are_mixed_as_they_are() -> (
    None
):
    scores, scored = torch.randn(8, generator=torch.manual_seed(2)), torch.ones(8)
    means = [("reinforce_baseline", minus_mean), ("dr_grpo", minus_mean)]
    for estimator, baseline in [("rloo", leave_one_out), ("group_norm", group_norm), *means]:
        expected = baseline(scores.view(2, 4), scored.view(2, 4)).flatten()
        torch.testing.assert_close(mixed(scores[:, None], [1.0], scored, 4, estimator), expected)
    for estimator in ("gae", "reinforce"):
        torch.testing.assert_close(mixed(scores[:, None], [1.0], scored, 1, estimator), scores)


def test_the_kl_coefficient_moves_towards_its_target_by_a_bounded_step() -> None:
    assert adapted_kl_coef(0.1, 0.02, 0.01, 100, 1000) == pytest.approx(0.1 * 1.02)
    assert adapted_kl_coef(0.1, 0.0095, 0.01, 100, 1000) == pytest.approx(0.1 * 0.995)
    assert adapted_kl_coef(0.1, 0.0, 0.01, 100, 1000) == pytest.approx(0.1 * 0.98)
