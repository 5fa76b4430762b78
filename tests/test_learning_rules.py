"""Learning rules beside PPO's own: corrections, losses and streams, against numbers by hand."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from rlsp_cli.backends.local.teacher import load_teacher
from rlsp_cli.engine.advantage import whiten
from rlsp_cli.engine.checkpoint import save_model
from rlsp_cli.engine.correction import corrected
from rlsp_cli.engine.implicit_prm import in_order, outcome_loss, scaled, without_baseline
from rlsp_cli.engine.loss import oreal_loss, oreal_weights, policy_loss
from rlsp_cli.engine.model import new_model
from rlsp_cli.engine.ppo import PpoTrainer
from rlsp_cli.engine.roles import Role
from rlsp_cli.engine.rollout import Rollout
from rlsp_cli.errors import NotReadyError
from rlsp_cli.recipe.correction import BANDS, Correction
from rlsp_cli.recipe.named_model import NamedModel
from rlsp_cli.recipe.ppo import Ppo
from tests.conftest import refusal
from tests.test_policy_sampler import OFF, trainer_with
from tests.test_ppo import (
    GROUPED,
    PRIME,
    PROMPTS,
    RESPONSES,
    REWARDS,
    SPEC,
    TOKENS,
    WORDS,
    by_hand,
    gradients,
    make_trainer,
    move,
    of_responses,
    repeated,
    role,
    targets_at,
    vector,
    written_rollout,
)

pytestmark = pytest.mark.usefixtures("one_thread")

ONE = torch.ones(1, 1)


@pytest.mark.parametrize(
    ("ratio", "better", "expected"),
    # 3 times as likely: the loss of a bad token is cut at 2, that of a good one at 1.2.
    [(3.0, -1.0, 2.0), (1.5, -1.0, 1.5), (0.5, -1.0, 0.8), (3.0, 1.0, -1.2)],
)
def test_a_dual_clip_bounds_the_loss_where_the_advantage_is_negative(
    ratio: float, better: float, expected: float
) -> None:
    logp = torch.tensor([[math.log(ratio)]])
    loss, _ = policy_loss(logp, 0 * ONE, better * ONE, ONE, 0.2, dual_clip=2.0)
    assert float(loss) == pytest.approx(expected)


# Two responses of three and two tokens, and their ratios of the trainer to the sampler.
RATIOS = torch.tensor([[0.25, 1.0, 3.0], [8.0, 4.0, 1.0]])
MASK = torch.tensor([[1.0, 1, 1], [1, 1, 0]])


@pytest.mark.parametrize(
    ("rule", "expected", "outside"),
    [
        ("none", [1, 1, 1, 1, 1], 4 / 5),
        ("tis", [0.25, 1, 2, 2, 2], 3 / 5),
        ("icepop", [0, 1, 3, 0, 4], 2 / 5),
        # Geometric means: 0.75 ** (1/3) = 0.91 is inside of 0.5 to 5, 32 ** (1/2) = 5.7 is not.
        ("sequence", [0.25, 1, 3, 0, 0], 2 / 5),
    ],
)
def test_weights_of_five_tokens_by_hand(
    rule: Correction, expected: list[float], outside: float
) -> None:
    found = corrected(RATIOS.log(), torch.zeros(2, 3), MASK, BANDS[rule])
    assert found.weights[MASK > 0].tolist() == pytest.approx(expected)
    assert found.outside == pytest.approx(outside)


def test_a_masked_token_counts_nothing_however_far_off_it_is() -> None:
    found = corrected(torch.tensor([[500.0]]), torch.zeros(1, 1), ONE, BANDS["icepop"])
    assert found.weights.tolist() == [[0.0]]


def test_responses_of_another_sampler_are_learned_from_by_their_weights(tmp_path: Path) -> None:
    plain = trainer_with(tmp_path / "a", estimator="rloo", **GROUPED).step(0)[1]
    weighted = trainer_with(
        tmp_path / "b", rollout_correction="tis", estimator="rloo", **GROUPED
    ).step(0)[1]

    # The sampler claims more than the trainer's probability, so each weight is exp(-OFF).
    assert weighted.pop("mismatch/outside") == 0
    expected = math.exp(-OFF) * plain["grad_norm/policy"]
    assert weighted["grad_norm/policy"] == pytest.approx(expected, rel=1e-3)
    assert weighted.keys() == plain.keys()


def test_a_correction_is_refused_where_the_sampler_is_the_trainer(tiny_recipe: Path) -> None:
    said = refusal(tiny_recipe, ["ppo.rollout_correction=icepop"], "rollout_correction")
    assert "the embedded engine samples with the probabilities that it trains" in said
    assert "set ppo.sampler: vllm" in said


# On-policy distillation.


def test_each_token_answers_for_how_far_it_is_from_the_teacher(tmp_path: Path) -> None:
    teacher, _ = new_model(SPEC, [WORDS], seed=5)
    trainer = make_trainer(
        tmp_path,
        teacher_model=teacher,
        teacher={"model": "big", "coef": 0.5},
        estimator="reinforce",
        whiten_advantages=False,
        kl_coef=0,
        temperature=0.7,
    )
    rollout = written_rollout()
    targets, metrics = targets_at(trainer, rollout)

    every = []
    for prompt, response, reward, found in zip(
        PROMPTS, RESPONSES, REWARDS, of_responses(targets.advantages, rollout), strict=True
    ):
        logp, judged = (
            by_hand(model, prompt, response, 0.7) for model in (trainer.models.policy, teacher)
        )
        kl = [a - b for a, b in zip(logp, judged, strict=True)]
        expected = [reward - 0.5 * sum(kl[t:]) for t in range(len(kl))]
        assert found == pytest.approx(expected, abs=1e-4)
        every += kl
    assert metrics["kl/teacher"] == pytest.approx(sum(every) / TOKENS, abs=1e-4)
    assert "kl/token" not in metrics


def test_a_policy_comes_closer_to_its_teacher(tmp_path: Path) -> None:
    teacher, _ = new_model(SPEC, [WORDS], seed=5)
    trainer = make_trainer(
        tmp_path,
        rewards=[0.0],
        teacher_model=teacher,
        teacher={"model": "big"},
        estimator="reinforce",
        gamma=0.0,
        kl_coef=0,
        rollout_batch=32,
        train_batch=32,
        micro_batch=32,
        learning_rate=0.02,
        steps=12,
    )
    found = [trainer.step(step)[1]["kl/teacher"] for step in range(12)]
    assert found[-1] < 0.6 * found[0]


def test_a_teacher_of_other_tokens_is_refused(tmp_path: Path) -> None:
    for name, words in (("same", WORDS), ("other", f"{WORDS} m")):
        save_model(tmp_path / name, *new_model(SPEC, [words], seed=5))
    models = {name: NamedModel(path=str(tmp_path / name)) for name in ("same", "other")}
    plain = make_trainer(tmp_path).context
    context = replace(plain, recipe=plain.recipe.model_copy(update={"models": models}))

    options = {"max_new_tokens": 8, "teacher": {"model": "same"}}
    settings = Ppo.model_validate(options)
    loaded = load_teacher(context, settings, PROMPTS)
    assert loaded is not None and not any(p.requires_grad for p in loaded.parameters())
    settings = Ppo.model_validate({"teacher": {"model": "other"}})
    with pytest.raises(NotReadyError, match=r"the tokens of .*other' are not the policy's \('m'"):
        load_teacher(context, settings, PROMPTS)


def test_a_teacher_is_a_model_of_the_recipe_with_a_path(tiny_recipe: Path) -> None:
    teacher = "ppo.teacher={model: big}"
    assert "`models` has no 'big'" in refusal(tiny_recipe, [teacher], "big")
    served = [teacher, "models.big={url: http://127.0.0.1:1/v1}"]
    assert "the trainer loads a teacher itself" in refusal(tiny_recipe, served, "ppo.teacher")
    elsewhere = ["ppo.backend=openrlhf", teacher, "models.big={path: x}"]
    assert "has no effect on OpenRLHF" in refusal(tiny_recipe, elsewhere, "ppo.teacher")


# PRIME. Two groups of two; log-ratios of 2, 4, 2 and 4 tokens.

RATIO_ROWS = [[1.0, -0.5], [0.5, 0.0, -2.0, 0.5], [0.25, 0.25], [0.0, 1.0, 0.0, -3.0]]


def in_places(rows: list[list[float]], like: Rollout) -> torch.Tensor:
    """(N, T) numbers of response tokens in the places of a rollout's."""
    found = torch.zeros_like(like.mask)
    found[like.mask > 0] = torch.tensor([number for row in rows for number in row])
    return found


def test_the_loss_of_an_implicit_prm_by_hand() -> None:
    ratios = in_places(RATIO_ROWS, written_rollout())
    labels, known = torch.tensor([1.0, 0.0, 1.0, 0.5]), torch.tensor([1.0, 1.0, 0.0, 1.0])
    found = outcome_loss(ratios, labels, known, beta=0.5)

    # Sums are 0.5, -1, -, -2; halved, they are the logits.
    right = [1 / (1 + math.exp(-logit)) for logit in (0.25, -0.5, -1.0)]
    expected = -math.log(right[0]) - math.log(1 - right[1])
    expected -= (math.log(right[2]) + math.log(1 - right[2])) / 2
    assert float(found) == pytest.approx(expected)


def test_the_largest_return_of_a_rollout_is_one() -> None:
    # Sums to the end: 0.5, -0.5; -1, -1.5, -1.5, 0.5; ...; -2, -2, -3, -3.
    rollout = written_rollout()
    found = of_responses(scaled(in_places(RATIO_ROWS, rollout)), rollout)
    assert found == [pytest.approx([one / 3 for one in row], abs=1e-6) for row in RATIO_ROWS]


def test_each_token_loses_the_mean_of_the_other_responses_mean() -> None:
    rollout = written_rollout()
    rewards, known = in_places(RATIO_ROWS, rollout), torch.tensor([1.0, 1.0, 1.0, 0.0])
    found = of_responses(without_baseline(rewards, rollout.mask, known, 2), rollout)

    # The means are 0.25 and -0.25. Alone with a verdict, a response has nothing to compare with.
    assert found[0] == pytest.approx([1.25, -0.25])
    assert found[1] == pytest.approx([0.25, -0.25, -2.25, 0.25])
    assert found[2] == pytest.approx([0.0, 0.0]) and found[3] == [0.0] * 4


def test_pairs_in_order() -> None:
    sums, labels = torch.tensor([2.0, 1.0, 1.0, 3.0]), torch.tensor([1.0, 0.0, 1.0, 0.0])
    everyone = torch.ones(4)
    assert in_order(sums, labels, everyone, 2) == {"implicit_prm/in_order": 0.5}
    assert in_order(sums, labels, everyone, 4) == {"implicit_prm/in_order": 0.25}
    assert in_order(sums, torch.ones(4), everyone, 2) == {}


def test_an_implicit_prm_learns_the_verdicts_and_pays_the_tokens_of_right_responses(
    tmp_path: Path,
) -> None:
    trainer = make_trainer(tmp_path, kl_coef=0, steps=40, **PRIME)
    rollout = written_rollout([1.0, 0.0, 0.0, 1.0])
    off = make_trainer(tmp_path, kl_coef=0, estimator="rloo", **GROUPED)
    first, metrics = targets_at(trainer, rollout)

    # It starts as its reference, so that nothing is paid yet but the outcome, whitened.
    outcome = whiten(targets_at(off, rollout)[0].advantages, rollout.mask)
    assert torch.allclose(first.advantages, outcome, atol=1e-5)
    assert metrics["implicit_prm/loss"] == pytest.approx(math.log(2))

    for _ in range(30):
        last, metrics = targets_at(trainer, rollout)
    assert metrics["implicit_prm/loss"] < 0.6 and metrics["implicit_prm/in_order"] == 1
    moved = of_responses(last.advantages - first.advantages, rollout)
    assert max(abs(one) for row in moved for one in row) > 0.1
    assert torch.equal(vector_of(trainer, "reference"), vector_of(trainer, "policy"))


def vector_of(trainer: PpoTrainer, name: Role) -> torch.Tensor:
    return torch.cat([weight.detach().flatten() for weight in role(trainer, name).parameters()])


def test_prime_needs_leave_one_out_and_the_local_engine(tiny_recipe: Path) -> None:
    said = refusal(tiny_recipe, ["ppo.implicit_prm={}"], "implicit_prm")
    assert "set estimator: rloo" in said
    grouped = ["ppo.implicit_prm={coef: 2.0}", "ppo.estimator=rloo", "ppo.samples_per_prompt=2"]
    said = refusal(tiny_recipe, [*grouped, "ppo.backend=openrlhf"], "implicit_prm")
    assert "has no effect on OpenRLHF" in said


# OREAL.


def test_a_good_token_is_imitated_and_a_bad_one_scaled() -> None:
    logp = torch.tensor([[math.log(0.5), math.log(0.3)]], requires_grad=True)
    old, advantages = torch.tensor([[math.log(0.1), math.log(0.6)]]), torch.tensor([[2.0, -1.0]])
    loss, clipped = oreal_loss(logp, old, advantages, torch.ones(1, 2))
    loss.backward()

    assert float(loss.detach()) == pytest.approx(-2 * math.log(0.5) + 0.5) and clipped == 0
    # However likely a good token has become, its pull stays; a bad one's falls with its ratio.
    assert logp.grad is not None and logp.grad[0].tolist() == pytest.approx([-2.0, 0.5])


def test_good_tokens_weigh_twice_as_much_together_as_all_others() -> None:
    advantages, mask = torch.tensor([[1.0, 1.0, 9.0], [-1.0, 0.0, -1.0]]), torch.ones(2, 3)
    mask[0, 2] = 0
    found = oreal_weights(advantages, mask)[mask > 0].tolist()
    assert found == pytest.approx([5 / 2, 5 / 2, 0.5 * 5 / 3, 0.5 * 5 / 3, 0.5 * 5 / 3])


OREAL: dict[str, Any] = {"loss": "oreal", "estimator": "rloo", "kl_estimator": "k3", **GROUPED}
VERDICTS = [1.0, 0.0, 0.0, 1.0]


def test_the_loss_of_a_rollout_is_that_of_the_authors_code(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, kl_coef=0, **OREAL)
    rollout = written_rollout(VERDICTS)
    targets, _ = targets_at(trainer, rollout)

    # Leave-one-out advantages are 1 and -1. The right responses have 2 and 4 tokens.
    right = [sum(by_hand(trainer.models.policy, PROMPTS[row], RESPONSES[row])) for row in (0, 3)]
    expected = -sum(right) / 6 + 0.5 * 1.0
    found = trainer.learner.update(0, rollout, targets, critic_only=False)
    assert found["loss/policy"] == pytest.approx(expected, abs=1e-4)


def test_its_kl_pulls_by_the_loss_and_not_by_the_rewards(tmp_path: Path) -> None:
    rollout, found = written_rollout(VERDICTS), []
    for coef in (0.0, 0.5):
        trainer = make_trainer(tmp_path, kl_coef=coef, **OREAL)
        move(trainer)
        targets, _ = targets_at(trainer, rollout)
        assert of_responses(targets.advantages, rollout) == repeated([1, -1, -1, 1])
        found.append(gradients(trainer, rollout)[0])

    policy, total = trainer.models.policy, torch.zeros(())
    for prompt, response in zip(PROMPTS, RESPONSES, strict=True):
        behind = by_hand(role(trainer, "reference"), prompt, response)
        logits = policy(torch.tensor([prompt + response])).logits[0, len(prompt) - 1 : -1]
        logp = logits.log_softmax(-1)[range(len(response)), response]
        ahead = torch.tensor(behind) - logp
        total = total + (ahead.exp() - 1 - ahead).sum()
    policy.zero_grad()
    (0.5 * total / TOKENS).backward()
    expected = vector(list(policy.parameters()))
    assert torch.allclose(found[1] - found[0], expected, atol=1e-4)


def test_it_makes_right_responses_likelier(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, kl_coef=0.01, learning_rate=0.01, steps=8, **OREAL)
    rollout = written_rollout(VERDICTS)

    def likely() -> list[float]:
        policy = trainer.models.policy
        return [sum(by_hand(policy, *pair)) for pair in zip(PROMPTS, RESPONSES, strict=True)]

    before = likely()
    for step in range(8):
        trainer.learner.update(step, rollout, targets_at(trainer, rollout)[0], critic_only=False)
    moved = [after - first for after, first in zip(likely(), before, strict=True)]
    assert moved[0] > 0 < moved[3] and moved[1] < 0 > moved[2]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (["ppo.estimator=gae"], "set estimator: rloo"),
        (["ppo.kl_estimator=k1"], "set kl_estimator: k3"),
        (["ppo.backend=openrlhf"], "ppo.loss has no effect on OpenRLHF"),
    ],
)
def test_oreal_is_refused_with_what_it_is_not_made_for(
    changes: list[str], says: str, tiny_recipe: Path
) -> None:
    oreal = ["ppo.loss=oreal", "ppo.estimator=rloo", "ppo.samples_per_prompt=2"]
    assert says in refusal(tiny_recipe, [*oreal, "ppo.kl_estimator=k3", *changes], says)
