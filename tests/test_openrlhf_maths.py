"""Our PPO formulas against OpenRLHF's own functions, on the same random tensors.

Its files are loaded without their packages, whose import needs DeepSpeed and vLLM: the functions
need torch and ray.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest
import torch

from rlsp_cli.backends.openrlhf.config import correction_settings
from rlsp_cli.engine import advantage
from rlsp_cli.engine.correction import corrected
from rlsp_cli.engine.logprobs import choice_facts
from rlsp_cli.engine.loss import policy_loss, value_loss
from rlsp_cli.recipe.correction import BANDS, Correction
from rlsp_cli.recipe.ppo import Ppo

pytestmark = pytest.mark.integration

GROUPS, SAMPLES, POSITIONS = 4, 3, 9
KL_COEF, GAE_LAMBDA = 0.05, 0.95


@contextmanager
def without_packages(source: Path) -> Iterator[None]:
    """Let single files of OpenRLHF be imported: its packages stand empty, and what it names in passing is a stub."""
    names = ("", ".models", ".utils", ".trainer", ".trainer.ppo_utils", ".trainer.ray")
    stand_ins = {
        name: ModuleType(name) for name in ("deepspeed", *(f"openrlhf{name}" for name in names))
    }
    for name, module in stand_ins.items():
        module.__path__ = [str(source.parent / name.replace(".", "/"))]
    launcher = stand_ins["openrlhf.trainer.ray.launcher"] = ModuleType("launcher")
    launcher.RayActorGroup = object  # type: ignore[attr-defined]  # in annotations only
    sys.modules.update(stand_ins)
    try:
        with patch(
            "torch.compile", lambda function: function
        ):  # of an entropy that is not compared; seconds
            yield
    finally:
        for name in [
            name for name in sys.modules if name.partition(".")[0] in ("openrlhf", "deepspeed")
        ]:
            del sys.modules[name]


class OpenRlhf:
    """The modules of OpenRLHF that hold its mathematics."""

    def __init__(self, source: Path) -> None:
        with without_packages(source):
            self.utils = import_module("openrlhf.models.utils")
            self.loss = import_module("openrlhf.models.loss")
            self.maker = import_module(
                "openrlhf.trainer.ppo_utils.experience_maker"
            ).RemoteExperienceMaker
            self.experience = import_module("openrlhf.trainer.ppo_utils.experience").Experience
            self.controller = import_module(
                "openrlhf.trainer.ppo_utils.kl_controller"
            ).AdaptiveKLController

    def advantages(
        self, batch: "Batch", estimator: str, gamma: float, divide: bool = True
    ) -> tuple[torch.Tensor, ...]:
        """Its advantages and returns for a whole rollout, in two pieces and not in the order of the prompts."""
        settings = SimpleNamespace(
            estimator=estimator, gamma=gamma, lambd=GAE_LAMBDA, no_std_norm=not divide
        )
        args = SimpleNamespace(
            algo=SimpleNamespace(advantage=settings),
            rollout=SimpleNamespace(n_samples_per_prompt=SAMPLES),
            reward=SimpleNamespace(clip_range=None),
        )
        maker = object.__new__(self.maker)
        maker.strategy, maker.advantage_estimator = SimpleNamespace(args=args), estimator
        maker.kl_ctl = SimpleNamespace(value=KL_COEF)
        order = torch.randperm(len(batch.scores))
        pieces = [
            self.experience(
                index=rows.tolist(),
                rewards=batch.scores[rows],
                kl=batch.kl[rows],
                values=batch.values[rows],
                action_mask=batch.mask[rows].bool(),
                info={},
            )
            for rows in order.tensor_split(2)
        ]
        done = maker.compute_advantages_and_returns(pieces)
        back = order.argsort()
        return tuple(
            torch.cat([getattr(piece, name) for piece in done])[back]
            for name in ("advantages", "returns")
        )


class Batch:
    """A random rollout: responses of different lengths at different places of their rows."""

    def __init__(self, seed: int) -> None:
        torch.manual_seed(seed)
        rows = GROUPS * SAMPLES
        position = torch.arange(POSITIONS)
        first = torch.randint(0, 3, (rows, 1))
        self.mask = (
            (position >= first) & (position < first + torch.randint(1, 7, (rows, 1)))
        ).float()
        self.logp, self.reference, self.old_logp = (
            -2 * torch.rand(rows, POSITIONS) for _ in range(3)
        )
        self.kl = (self.logp - self.reference) * self.mask
        self.values, self.old_values, self.returns, self.advantages = (
            torch.randn(4, rows, POSITIONS) * self.mask
        )
        self.scores = torch.randn(rows)


@pytest.fixture(scope="module")
def theirs(openrlhf_source: Path) -> OpenRlhf:
    return OpenRlhf(openrlhf_source)


@pytest.fixture(params=range(3))
def batch(request: pytest.FixtureRequest) -> Batch:
    return Batch(request.param)


def same(ours: Any, their: Any) -> None:
    """To 1e-6, also relative: float32 has seven digits."""
    torch.testing.assert_close(torch.as_tensor(ours), torch.as_tensor(their), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("estimator", ["k1", "k2", "k3"])
@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_kl_estimates_agree_also_where_they_are_cut(
    estimator: str, scale: float, batch: Batch, theirs: OpenRlhf
) -> None:
    logp, reference = scale * batch.logp, scale * batch.reference
    same(
        advantage.kl_estimate(logp, reference, estimator),
        theirs.utils.compute_approx_kl(logp, reference, kl_estimator=estimator),
    )


def test_token_rewards_agree(batch: Batch, theirs: OpenRlhf) -> None:
    their = theirs.utils.compute_reward(batch.scores, KL_COEF, batch.kl, action_mask=batch.mask)
    same(advantage.token_rewards(batch.scores, batch.kl, KL_COEF, batch.mask), their)


@pytest.mark.parametrize(("gamma", "gae_lambda"), [(1.0, 0.95), (1.0, 1.0), (0.9, 0.5)])
def test_gae_and_returns_agree(
    gamma: float, gae_lambda: float, batch: Batch, theirs: OpenRlhf
) -> None:
    rewards = advantage.token_rewards(batch.scores, batch.kl, KL_COEF, batch.mask)
    maker = object.__new__(theirs.maker)
    their = maker.get_advantages_and_returns(batch.values, rewards, batch.mask, gamma, gae_lambda)
    for ours, other in zip(
        advantage.gae(rewards, batch.values, batch.mask, gamma, gae_lambda), their, strict=True
    ):
        same(ours, other * batch.mask)
    cumulative = maker.get_cumulative_returns(rewards, batch.mask, gamma)
    same(advantage.rewards_to_go(rewards, batch.mask, gamma), cumulative * batch.mask)


@pytest.mark.parametrize(
    "estimator", ["gae", "reinforce", "reinforce_baseline", "rloo", "group_norm", "dr_grpo"]
)
def test_every_estimators_advantages_agree(estimator: str, batch: Batch, theirs: OpenRlhf) -> None:
    ours = our_advantages(batch, estimator, gamma=1.0)
    for own, other in zip(ours, theirs.advantages(batch, estimator, gamma=1.0), strict=True):
        same(own, other * batch.mask)


def test_a_discount_reaches_reinforce_in_both_and_estimators_with_groups_in_ours_alone(
    batch: Batch, theirs: OpenRlhf
) -> None:
    for estimator in ("gae", "reinforce"):
        their, _ = theirs.advantages(batch, estimator, gamma=0.9)
        same(our_advantages(batch, estimator, gamma=0.9)[0], their * batch.mask)
    their, _ = theirs.advantages(batch, "rloo", gamma=0.9)
    same(our_advantages(batch, "rloo", gamma=1.0)[0], their * batch.mask)
    assert not torch.allclose(our_advantages(batch, "rloo", gamma=0.9)[0], their * batch.mask)


def test_whitening_has_the_same_floor_where_little_varies(batch: Batch, theirs: OpenRlhf) -> None:
    batch.scores, batch.kl = torch.zeros_like(batch.scores), batch.kl / 1000
    ours, _ = our_advantages(batch, "reinforce", gamma=1.0)
    same(ours, theirs.advantages(batch, "reinforce", gamma=1.0)[0] * batch.mask)
    assert 0 < ours.std() < 0.9


def test_without_whitening_the_mean_is_still_taken_off_there(
    batch: Batch, theirs: OpenRlhf
) -> None:
    ours, _ = our_advantages(batch, "reinforce", gamma=1.0, whiten=False)
    their, _ = theirs.advantages(batch, "reinforce", gamma=1.0, divide=False)
    same((ours - advantage.masked_mean(ours, batch.mask)) * batch.mask, their * batch.mask)


def test_equal_rewards_teach_nothing_here_and_rounding_there_unless_they_are_float64(
    theirs: OpenRlhf,
) -> None:
    batch = Batch(0)
    batch.scores, batch.kl = torch.full((GROUPS * SAMPLES,), 0.9), torch.zeros_like(batch.kl)
    assert our_advantages(batch, "group_norm", gamma=1.0)[0].abs().max() < 1e-6
    assert theirs.advantages(batch, "group_norm", gamma=1.0)[0].abs().max() > 0.5
    batch.scores = batch.scores.double()
    assert theirs.advantages(batch, "group_norm", gamma=1.0)[0].abs().max() < 1e-6


@pytest.mark.parametrize("spread", [0.3, 30.0])
def test_policy_losses_agree_with_their_clip(spread: float, batch: Batch, theirs: OpenRlhf) -> None:
    logp, old = spread * batch.logp, spread * batch.old_logp
    ours, clipped = policy_loss(logp, old, batch.advantages, batch.mask, 0.2)
    their, ratio, *_ = theirs.loss.PolicyLoss(0.2, 0.2)(logp, old, batch.advantages, batch.mask)
    same(ours / batch.mask.sum(), their)
    same(clipped / batch.mask.sum(), ratio)
    assert clipped > 0


def test_the_gradient_of_the_policy_loss_agrees(batch: Batch, theirs: OpenRlhf) -> None:
    logp = [batch.logp.clone().requires_grad_() for _ in range(2)]
    (
        policy_loss(logp[0], batch.old_logp, batch.advantages, batch.mask, 0.2)[0]
        / batch.mask.sum()
    ).backward()
    theirs.loss.PolicyLoss(0.2, 0.2)(logp[1], batch.old_logp, batch.advantages, batch.mask)[
        0
    ].backward()
    same(logp[0].grad, logp[1].grad)


@pytest.mark.parametrize("correction", ["none", "tis", "icepop", "sequence"])
def test_tokens_of_another_policy_are_weighted_as_the_correction_says(
    correction: Correction, batch: Batch, theirs: OpenRlhf
) -> None:
    """And the divergence of the engines from the trainer is measured also where no weight is asked for."""
    recipe = Ppo(rollout_correction=correction)
    options = {
        setting.key.rpartition(".")[2]: setting.value for setting in correction_settings(recipe)
    }
    mask, logp = batch.mask, batch.old_logp + 0.1 * torch.randn_like(batch.old_logp)
    # Whole responses lie outside of the band too.
    shift = torch.linspace(-2, 2, len(mask))[:, None]
    engine = batch.old_logp + 1.5 * torch.randn_like(batch.old_logp) + shift
    losses = theirs.loss.PolicyLoss(0.2, 0.2, **options)
    found, _, _, divergence, outside = losses(
        logp, batch.old_logp, batch.advantages, mask, rollout_log_probs=engine
    )

    ours = corrected(batch.old_logp, engine, mask, BANDS[correction])
    loss, _ = policy_loss(logp, batch.old_logp, batch.advantages, mask, 0.2, weights=ours.weights)
    same(found, loss / mask.sum())
    same(divergence, advantage.masked_mean(engine - batch.old_logp, mask))
    if correction in ("tis", "icepop"):
        assert ours.outside == pytest.approx(float(outside)) and 0 < ours.outside < 1


def test_a_dual_clip_agrees(batch: Batch, theirs: OpenRlhf) -> None:
    logp, old, advantages, mask = batch.logp, batch.old_logp, batch.advantages, batch.mask
    their, *_ = theirs.loss.PolicyLoss(0.2, 0.2, dual_clip=1.5)(logp, old, advantages, mask)
    ours, _ = policy_loss(logp, old, advantages, mask, 0.2, dual_clip=1.5)
    plain, _ = policy_loss(logp, old, advantages, mask, 0.2)
    same(ours / mask.sum(), their)
    assert ours < plain


def test_value_losses_agree_with_their_clip(batch: Batch, theirs: OpenRlhf) -> None:
    ours, clipped = value_loss(batch.values, batch.old_values, batch.returns, batch.mask, 0.2)
    their = theirs.loss.ValueLoss(clip_eps=0.2)(
        batch.values, batch.old_values, batch.returns, batch.mask
    )
    same(ours / batch.mask.sum(), their)
    assert clipped > 0


@pytest.mark.parametrize("temperature", [0.7, 1.0])
def test_log_probabilities_agree_at_any_temperature(temperature: float, theirs: OpenRlhf) -> None:
    torch.manual_seed(0)
    logits, tokens = 5 * torch.randn(4, POSITIONS + 1, 50), torch.randint(50, (4, POSITIONS + 1))
    states, chosen = logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten()
    facts = choice_facts(torch.nn.Identity(), states, chosen, temperature, entropy=False)
    ours = facts.view(4, POSITIONS)
    same(
        ours, theirs.utils.log_probs_from_logits(logits[:, :-1].clone(), tokens[:, 1:], temperature)
    )


def test_means_agree_over_tokens_but_not_over_none_and_not_over_responses(
    batch: Batch, theirs: OpenRlhf
) -> None:
    same(
        advantage.masked_mean(batch.kl, batch.mask), theirs.utils.masked_mean(batch.kl, batch.mask)
    )
    nothing = torch.zeros_like(batch.mask)
    assert (
        advantage.masked_mean(batch.kl, nothing) == 0
        and theirs.utils.masked_mean(batch.kl, nothing).isnan()
    )
    per_response = theirs.utils.masked_mean(
        batch.kl, batch.mask, dim=-1
    )  # what its KL controller gets the mean of
    assert not torch.allclose(per_response.mean(), advantage.masked_mean(batch.kl, batch.mask))


def test_adaptive_kl_coefficients_agree_step_by_step(theirs: OpenRlhf) -> None:
    controller, coef = theirs.controller(KL_COEF, target=0.01, horizon=1000), KL_COEF
    for kl in (0.0, 0.5, 0.0101, 0.0099, -0.2, 0.01):
        controller.update(kl, n_steps=64)
        coef = advantage.adapted_kl_coef(coef, kl, 0.01, 64, 1000)
        assert coef == pytest.approx(controller.value, rel=1e-12)


def our_advantages(
    batch: Batch, estimator: str, gamma: float, whiten: bool = True
) -> tuple[torch.Tensor, ...]:
    """What PpoTrainer makes of a rollout in which every response has a score."""
    options = {"samples_per_prompt": SAMPLES, "gae_lambda": GAE_LAMBDA, "whiten_advantages": whiten}
    settings = Ppo.model_validate({"estimator": estimator, "gamma": gamma, **options})
    scores = advantage.mixed(
        batch.scores[:, None], [1.0], torch.ones(len(batch.scores)), SAMPLES, estimator
    )
    return advantage.advantages_and_returns(
        scores, batch.kl, batch.values, batch.mask, KL_COEF, settings
    )
