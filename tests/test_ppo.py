"""The PPO trainer in this process, on a model of two layers: gradients, targets and schedules against numbers by hand.

A rollout is written down, not sampled, wherever its numbers matter: two prompts of two responses
each, of 2, 4, 2 and 4 tokens.
"""

import math
import signal
from collections.abc import Sequence
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel
from transformers.models.llama.modeling_llama import LlamaMLP

from rlsp_cli.data import Problem
from rlsp_cli.engine.batch import batch_rows
from rlsp_cli.engine.checkpoint import newest_checkpoint
from rlsp_cli.engine.decode import Generated, Sampling, generate
from rlsp_cli.engine.loss import policy_loss
from rlsp_cli.engine.model import load_tokenizer, new_model
from rlsp_cli.engine.optimise import Optimiser
from rlsp_cli.engine.ppo import PpoTrainer
from rlsp_cli.engine.roles import Role
from rlsp_cli.engine.rollout import Rollout, as_tensors
from rlsp_cli.engine.stage import Context
from rlsp_cli.engine.stop import StopFlag
from rlsp_cli.engine.targets import Targets, targets_of
from rlsp_cli.engine.trial import handling_of
from rlsp_cli.errors import SafetyError, StoppedError
from rlsp_cli.recipe.data import Data, PromptSource
from rlsp_cli.recipe.model import FromScratch, Model
from rlsp_cli.recipe.ppo import Ppo
from rlsp_cli.recipe.reward import Reward
from rlsp_cli.recipe.schedule import Schedule, value_at
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.rewards.sample import Sample, SampleScore, Score
from rlsp_cli.runs.paths import StagePaths
from rlsp_cli.runs.stream import read_rows

SPEC = FromScratch(
    hidden_size=16, intermediate_size=32, num_layers=2, num_heads=2, max_length=32, init_std=0.3
)
pytestmark = pytest.mark.usefixtures("one_thread")
WORDS = "a b c d e f g h i j k l"
EOS = 1
PROBLEMS = [Problem(str(n), WORDS[: 2 * n + 5], "a") for n in range(4)]

PROMPTS = [[3, 4, 5], [3, 4, 5], [6, 7], [6, 7]]
RESPONSES = [[8, EOS], [9, 10, 4, EOS], [5, EOS], [6, 7, 8, 9]]
REWARDS = [1.0, 0.0, 0.5, 1.0]
TOKENS = 12


class Fixed:
    """A scorer that gives its rewards in turn; None is a response that could not be scored."""

    def __init__(self, rewards: Sequence[float | None]) -> None:
        self.rewards = cycle(rewards)
        self.alphas: list[float] = []

    def score(self, samples: Sequence[Sample], alpha: float) -> list[SampleScore]:
        self.alphas.append(alpha)
        return [scored(reward) for reward in islice(self.rewards, len(samples))]


def role(trainer: PpoTrainer, name: Role) -> PreTrainedModel:
    """The model of a role."""
    with trainer.models.roles.playing(name) as model:
        return model


def critic_parameters(trainer: PpoTrainer) -> list[torch.nn.Parameter]:
    """What the critic learns: its layers, where it has some of its own, and its head."""
    return trainer.models.parameters("critic")


class Recorder:
    """Takes the place of an optimiser: keeps the gradients of each step, as one vector, and changes no weight."""

    def __init__(self, optimiser: Optimiser) -> None:
        self.parameters = optimiser.parameters
        self.gradients: list[torch.Tensor] = []

    def step(self) -> tuple[float, float]:
        self.gradients.append(vector(self.parameters))
        for parameter in self.parameters:
            parameter.grad = None
        return 0.0, 0.0


def vector(parameters: Sequence[torch.nn.Parameter]) -> torch.Tensor:
    """All gradients one after another; a parameter that has none counts as zeros."""
    return torch.cat(
        [(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in parameters]
    )


def scored(reward: float | None, streams: tuple[float, float] | None = None) -> SampleScore:
    outcome = Score("c", "timeout") if reward is None else Score("c", "value", reward)
    return SampleScore(outcome, (), reward, streams)


def make_trainer(
    folder: Path,
    rewards: Sequence[float | None] = REWARDS,
    alpha: float | Schedule = 0.8,
    seed: int = 0,
    precision: str = "auto",
    teacher_model: PreTrainedModel | None = None,
    problems: Sequence[Problem] = PROBLEMS,
    **changes: Any,
) -> PpoTrainer:
    """A trainer whose rollouts are one minibatch of four responses, with a critic that predicts more than zeros."""
    settings = {
        "rollout_batch": 4,
        "train_batch": 4,
        "micro_batch": 2,
        "max_new_tokens": 6,
        "steps": 2,
    }
    ppo = Ppo(
        **{**settings, "critic_warmup_steps": 0, "temperature": 1.0, "warmup_ratio": 0.0, **changes}
    )
    data = Data(template="{problem}", prompts=PromptSource(source="task:pair_sum"))
    start = Model.model_validate({"from_scratch": SPEC, "precision": precision})
    recipe = Recipe(
        name="x", seed=seed, model=start, data=data, reward=Reward(alpha=alpha), ppo=ppo
    )
    model, tokenizer = new_model(SPEC, [WORDS], seed=1)
    context = Context(recipe, StagePaths(folder), model, tokenizer, torch.device("cpu"), StopFlag())
    scorer: Any = Fixed(rewards)
    trainer = PpoTrainer(context, ppo, problems, scorer, teacher=teacher_model)
    if trainer.models.value_head is not None:
        torch.nn.init.normal_(
            trainer.models.value_head.weight, generator=torch.Generator().manual_seed(2)
        )
    return trainer


def written_rollout(
    scores: Sequence[SampleScore | float | None] = REWARDS,
    responses: Sequence[list[int]] = RESPONSES,
    prompts: Sequence[list[int]] = PROMPTS,
) -> Rollout:
    generated = [Generated(response, response[-1] != EOS) for response in responses]
    samples = [Sample(prompt=str(prompt), response="", step=0) for prompt in prompts]
    whole = [score if isinstance(score, SampleScore) else scored(score) for score in scores]
    return Rollout(samples, whole, *as_tensors(prompts, generated, 0, torch.device("cpu")))


def targets_at(
    trainer: PpoTrainer, rollout: Rollout, step: int = 0
) -> tuple[Targets, dict[str, float]]:
    """The targets of a rollout that a step has drawn, and their metrics."""
    alpha = value_at(trainer.recipe.reward.alpha, step, trainer.total)
    return targets_of(
        rollout, trainer.models, trainer.settings, alpha, trainer.kl_coef, trainer.streams
    )


def gradients(
    trainer: PpoTrainer, rollout: Rollout, critic_only: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """(policy, critic) of one update on the whole rollout."""
    policy = trainer.learner.optimiser = Recorder(trainer.learner.optimiser)  # type: ignore[assignment]
    targets, _ = targets_at(trainer, rollout)
    critic = policy
    if trainer.learner.critic_optimiser:
        critic = trainer.learner.critic_optimiser = Recorder(trainer.learner.critic_optimiser)  # type: ignore[assignment]
    trainer.learner.update(0, rollout, targets, critic_only)
    return (vector(policy.parameters) if critic_only else policy.gradients[0]), critic.gradients[0]


def move(trainer: PpoTrainer) -> None:
    """Give the policy other weights than the reference's."""
    random = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in trainer.models.policy.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=random))


def of_responses(rows: torch.Tensor, rollout: Rollout) -> list[list[float]]:
    """The numbers on each response's tokens."""
    return [row[mask > 0].tolist() for row, mask in zip(rows, rollout.mask, strict=True)]


def repeated(values: Sequence[float]) -> list[Any]:
    """One number for all tokens of each response."""
    return [
        pytest.approx([value] * len(response))
        for value, response in zip(values, RESPONSES, strict=True)
    ]


GROUPED: dict[str, Any] = {"samples_per_prompt": 2, "rollout_batch": 2}


@pytest.mark.parametrize(
    ("estimator", "expected", "loss"),
    [
        ("reinforce", [1, 0, 0.5, 1], -7 / 12),
        ("reinforce_baseline", [0.5, -0.5, -0.25, 0.25], 0.5 / 12),
        ("dr_grpo", [0.5, -0.5, -0.25, 0.25], 0.5 / 12),
        ("rloo", [1, -1, -0.5, 0.5], 1 / 12),
        ("group_norm", [0.5**0.5, -(0.5**0.5), -(0.5**0.5), 0.5**0.5], 0),
    ],
)
def test_advantages_and_loss_of_four_responses_by_hand(
    estimator: str, expected: list[float], loss: float, tmp_path: Path
) -> None:
    trainer = make_trainer(
        tmp_path, estimator=estimator, kl_coef=0, whiten_advantages=False, **GROUPED
    )
    rollout = written_rollout()
    targets, _ = targets_at(trainer, rollout)
    assert of_responses(targets.advantages, rollout) == repeated(expected)
    metrics = trainer.learner.update(0, rollout, targets, critic_only=False)
    assert metrics["loss/policy"] == pytest.approx(loss, abs=1e-6) and metrics["clip_fraction"] == 0


def test_advantages_returns_and_losses_of_gae_by_hand(tmp_path: Path) -> None:
    trainer = make_trainer(
        tmp_path, kl_coef=0, whiten_advantages=False, gae_lambda=0.5, value_clip=9.0
    )
    assert trainer.models.value_head is not None
    torch.nn.init.zeros_(trainer.models.value_head.weight)
    torch.nn.init.constant_(trainer.models.value_head.bias, 0.25)
    rollout = written_rollout()
    targets, metrics = targets_at(trainer, rollout)
    # All values are 1/4, so each difference is 0 but the last, which is score - 1/4; lambda halves
    # it per token.
    advantages = [
        [0.375, 0.75],
        [-0.03125, -0.0625, -0.125, -0.25],
        [0.125, 0.25],
        [0.09375, 0.1875, 0.375, 0.75],
    ]
    assert of_responses(targets.advantages, rollout) == [pytest.approx(row) for row in advantages]
    returns = [[value + 0.25 for value in row] for row in advantages]
    assert of_responses(targets.returns, rollout) == [pytest.approx(row) for row in returns]
    flat = [value for row in advantages for value in row]
    mean = sum(flat) / TOKENS
    spread = sum((value - mean) ** 2 for value in flat)
    assert metrics["explained_variance"] == pytest.approx(
        1 - sum(value**2 for value in flat) / spread, rel=1e-4
    )
    losses = trainer.learner.update(0, rollout, targets, critic_only=False)
    assert losses["loss/policy"] == pytest.approx(-sum(flat) / TOKENS)
    assert losses["loss/value"] == pytest.approx(sum(value**2 for value in flat) / 2 / TOKENS)
    assert losses["value_clip_fraction"] == 0


def test_separate_streams_are_mixed_by_alpha_after_their_baselines(tmp_path: Path) -> None:
    streams = [(1.0, 0.2), (0.0, 0.6), (1.0, -0.5), (1.0, 0.5)]
    scores = [scored(0.0, pair) for pair in streams]
    options: dict[str, Any] = {
        "estimator": "rloo",
        "advantages": "separate",
        "kl_coef": 0,
        **GROUPED,
    }
    rollout = written_rollout(scores)
    trainer = make_trainer(tmp_path, alpha=0.75, **options)
    advantages = targets_at(trainer, rollout)[0].advantages
    # rloo of two is the difference to the other: correctness 1, -1, 0, 0 and exploration -0.4, 0.4,
    # -1, 1.
    by_hand = [0.75 - 0.25 * 0.4, -0.75 + 0.25 * 0.4, -0.25, 0.25]
    assert of_responses(advantages, rollout) == repeated(by_hand)


def test_separate_streams_follow_the_schedule_of_alpha(tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "estimator": "rloo",
        "advantages": "separate",
        "kl_coef": 0,
        "steps": 3,
        **GROUPED,
    }
    trainer = make_trainer(tmp_path, alpha=Schedule(start=0.0, end=1.0), **options)
    rollout = written_rollout([scored(0.0, (1.0, 0.0)), scored(0.0, (0.0, 0.5))] * 2)
    first = [targets_at(trainer, rollout, step) for step in (0, 1)]
    assert of_responses(first[0][0].advantages, rollout) == repeated([-0.5, 0.5, -0.5, 0.5])
    assert of_responses(first[1][0].advantages, rollout) == repeated([0.25, -0.25, 0.25, -0.25])


def test_a_step_learns_from_streams_at_its_own_alpha(tmp_path: Path) -> None:
    options: dict[str, Any] = {"estimator": "rloo", "advantages": "separate", "kl_coef": 0}
    schedule = Schedule(start=0.0, end=1.0)
    trainer = make_trainer(tmp_path, alpha=schedule, steps=3, **options, **GROUPED)
    scores = [scored(0.0, (1.0, 0.0)), scored(0.0, (0.0, 0.5))] * 2
    trainer.gatherer.scorer.score = lambda *_: scores  # type: ignore[method-assign]
    steps: list[int] = []

    def update(
        step: int, rollout: Rollout, targets: Targets, critic_only: bool
    ) -> dict[str, float]:
        expected, _ = targets_at(trainer, rollout, step)
        assert torch.equal(targets.advantages, expected.advantages)
        steps.append(step)
        return {}

    trainer.learner.update = update  # type: ignore[method-assign]
    for step in range(3):
        trainer.step(step)
    assert steps == [0, 1, 2]


def test_each_token_pays_for_its_distance_to_the_reference(tmp_path: Path) -> None:
    trainer = make_trainer(
        tmp_path, estimator="reinforce", kl_coef=0.5, whiten_advantages=False, gamma=1.0
    )
    move(trainer)
    rollout = written_rollout()
    targets, metrics = targets_at(trainer, rollout)
    kls = []
    for prompt, response, reward, found in zip(
        PROMPTS, RESPONSES, REWARDS, of_responses(targets.advantages, rollout), strict=True
    ):
        logp, reference = (
            by_hand(model, prompt, response)
            for model in (trainer.models.policy, role(trainer, "reference"))
        )
        kl = [a - b for a, b in zip(logp, reference, strict=True)]
        assert found == pytest.approx(
            [reward - 0.5 * sum(kl[t:]) for t in range(len(kl))], abs=1e-4
        )
        kls.append(kl)
    assert metrics["kl/response"] == pytest.approx(sum(map(sum, kls)) / 4, abs=1e-4)
    assert metrics["kl/token"] == pytest.approx(sum(map(sum, kls)) / TOKENS, abs=1e-4)


@torch.no_grad()
def by_hand(
    model: Any, prompt: list[int], response: list[int], temperature: float = 1.0
) -> list[float]:
    """Log-probability of each token of a response, from one forward pass for each, without any padding."""
    found = []
    for t, token in enumerate(response):
        logits = model(torch.tensor([prompt + response[:t]])).logits[0, -1]
        found.append(float((logits / temperature).log_softmax(-1)[token]))
    return found


def test_old_log_probabilities_are_those_that_the_tokens_were_sampled_with(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, temperature=0.5)
    rollout = written_rollout()
    targets, _ = targets_at(trainer, rollout)
    expected = [
        by_hand(trainer.models.policy, p, r, 0.5) for p, r in zip(PROMPTS, RESPONSES, strict=True)
    ]
    assert targets.old_logp is not None
    assert of_responses(targets.old_logp, rollout) == [
        pytest.approx(row, abs=1e-5) for row in expected
    ]
    assert trainer.learner.update(0, rollout, targets, critic_only=False)["clip_fraction"] == 0


def test_the_entropy_is_that_of_the_sampling_temperature(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, temperature=0.5)
    _, metrics = targets_at(trainer, written_rollout())
    found = []
    for prompt, response in zip(PROMPTS, RESPONSES, strict=True):
        with torch.no_grad():
            logits = trainer.models.policy(torch.tensor([prompt + response])).logits[
                0, len(prompt) - 1 : -1
            ]
        found += torch.distributions.Categorical(logits=logits / 0.5).entropy().tolist()
    assert metrics["entropy"] == pytest.approx(sum(found) / TOKENS, abs=1e-5)


ESTIMATORS = [
    {"estimator": "gae"},
    {"estimator": "gae", "critic": "value_head"},
    {"estimator": "reinforce"},
    {"estimator": "reinforce_baseline", **GROUPED},
    {"estimator": "rloo", **GROUPED},
    {"estimator": "group_norm", **GROUPED},
    {"estimator": "dr_grpo", "advantages": "separate", **GROUPED},
]


@pytest.mark.parametrize("options", ESTIMATORS)
def test_what_an_unscored_response_says_changes_no_gradient(
    options: dict[str, Any], tmp_path: Path
) -> None:
    scores = [scored(0.0), scored(None), scored(0.5, (1.0, 0.2)), scored(1.0, (0.0, 0.4))]
    other = [RESPONSES[0], [11, 12], *RESPONSES[2:]]
    found = [
        torch.cat(gradients(make_trainer(tmp_path, **options), written_rollout(scores, responses)))
        for responses in (RESPONSES, other)
    ]
    assert found[0].norm() > 0
    torch.testing.assert_close(found[0], found[1])


@pytest.mark.parametrize("options", ESTIMATORS[:3])
def test_an_unscored_response_has_no_gradient(options: dict[str, Any], tmp_path: Path) -> None:
    rewards = [1.0, None, 0.5, 0.0]
    with_it = gradients(make_trainer(tmp_path, **options), written_rollout(rewards))
    kept = [0, 2, 3]
    without = written_rollout(
        [rewards[i] for i in kept], [RESPONSES[i] for i in kept], [PROMPTS[i] for i in kept]
    )
    for left, right in zip(
        with_it, gradients(make_trainer(tmp_path, **options), without), strict=True
    ):
        torch.testing.assert_close(left, right)


@pytest.mark.parametrize("options", [{}, {"critic": "value_head"}, {"lora": {"rank": 2}}])
def test_checkpointed_layers_run_twice_in_training_and_the_step_is_the_same(
    options: dict[str, Any], tmp_path: Path
) -> None:
    def step(checkpointing: bool) -> tuple[dict[str, float], int]:
        trainer = make_trainer(tmp_path, gradient_checkpointing=checkpointing, **options)
        runs: list[str] = []
        for role_name in ("policy", "critic") if trainer.settings.critic == "own" else ("policy",):
            for layer in role(trainer, role_name).modules():
                if isinstance(layer, LlamaMLP):
                    layer.register_forward_pre_hook(lambda *_: runs.append("once"))
        rollout, _ = trainer.step(0)
        targets, _ = targets_at(trainer, rollout)
        runs.clear()
        metrics = trainer.learner.update(0, rollout, targets, critic_only=False)
        return metrics, len(runs)

    (expected, once), (found, twice) = step(False), step(True)
    assert twice == 2 * once > 0
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_the_entropy_bonus_is_the_mean_entropy_of_the_tokens(tmp_path: Path) -> None:
    options: dict[str, Any] = {"estimator": "reinforce", "kl_coef": 0}
    rollout = written_rollout()
    plain, bonus = (
        gradients(make_trainer(tmp_path, **options, entropy_coef=coef), rollout)[0]
        for coef in (0.0, 0.3)
    )
    trainer = make_trainer(tmp_path, **options)
    logits = trainer.models.policy(rollout.tokens).logits[:, :-1]
    entropy = torch.distributions.Categorical(logits=logits).entropy()
    (-0.3 * (entropy * rollout.mask).sum() / TOKENS).backward()
    torch.testing.assert_close(
        bonus - plain, vector(trainer.learner.optimiser.parameters), atol=1e-5, rtol=1e-3
    )


def test_clip_high_moves_the_upper_end_of_the_range_alone() -> None:
    logp, mask = torch.tensor([[0.4, -0.4]]).log1p(), torch.ones(1, 2)  # ratios 1.4 and 0.6
    zeros, sign = torch.zeros(1, 2), torch.tensor([[1.0, -1.0]])
    for high, expected, count in (
        (None, -1.2 + 0.8, 2),
        (0.3, -1.3 + 0.8, 2),
        (0.5, -1.4 + 0.8, 1),
    ):
        loss, clipped = policy_loss(logp, zeros, sign, mask, 0.2, high)
        assert float(loss) == pytest.approx(expected) and clipped == count


@pytest.mark.parametrize("options", ESTIMATORS)
def test_gradients_do_not_depend_on_the_micro_batch(
    options: dict[str, Any], tmp_path: Path
) -> None:
    scores = [scored(r, (r, 1 - r * r)) for r in (0.0, 0.7, 0.5, 1.0)]
    whole, *parts = (
        gradients(make_trainer(tmp_path, micro_batch=size, **options), written_rollout(scores))
        for size in (4, 3, 1)
    )
    for part in parts:
        for left, right in zip(part, whole, strict=True):
            torch.testing.assert_close(left, right)


@pytest.mark.parametrize("options", ESTIMATORS)
def test_a_batch_of_copies_has_the_gradient_of_the_batch(
    options: dict[str, Any], tmp_path: Path
) -> None:
    scores = [scored(r, (r, 1 - r * r)) for r in (0.0, 0.7, 0.5, 1.0)]
    twice = {**options, "rollout_batch": 2 * options.get("rollout_batch", 4), "train_batch": 8}
    once = gradients(make_trainer(tmp_path, **options), written_rollout(scores))
    doubled = gradients(
        make_trainer(tmp_path, **twice), written_rollout(scores * 2, RESPONSES * 2, PROMPTS * 2)
    )
    for left, right in zip(once, doubled, strict=True):
        torch.testing.assert_close(left, right)


def test_a_value_head_that_warms_up_does_not_touch_the_policy(tmp_path: Path) -> None:
    policy, critic = gradients(
        make_trainer(tmp_path, critic="value_head"), written_rollout(), critic_only=True
    )
    assert policy.norm() == 0 and critic.norm() > 0


@pytest.mark.parametrize("critic_only", [True, False])
def test_a_critic_of_its_own_never_moves_the_policy(critic_only: bool, tmp_path: Path) -> None:
    flat = make_trainer(tmp_path, kl_coef=0, whiten_advantages=False)
    targets, _ = targets_at(flat, written_rollout())
    recorder = Recorder(flat.learner.optimiser)
    flat.learner.optimiser = recorder  # type: ignore[assignment]
    nothing_to_gain = replace(targets, advantages=torch.zeros_like(targets.advantages))
    metrics = flat.learner.update(0, written_rollout(), nothing_to_gain, critic_only)
    assert metrics["grad_norm/critic"] > 0
    assert vector(flat.learner.optimiser.parameters).norm() == 0
    assert sum(gradient.norm() for gradient in recorder.gradients) == 0


def test_the_value_loss_weighs_value_coef_beside_the_policy_loss(tmp_path: Path) -> None:
    trainers = [
        make_trainer(tmp_path, critic="value_head", value_coef=coef) for coef in (0.1, 0.3, 0.5)
    ]
    (policy_1, head_1), (policy_3, head_3), (policy_5, _) = (
        gradients(t, written_rollout()) for t in trainers
    )
    torch.testing.assert_close(head_3, 3 * head_1)
    assert (policy_3 - policy_1).norm() > 0  # the trunk learns from the value loss
    torch.testing.assert_close(policy_5 - policy_3, policy_3 - policy_1, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("critic", "critic_only"), [("value_head", True), ("own", True), ("own", False)]
)
def test_a_value_loss_that_stands_alone_has_weight_one(
    critic: str, critic_only: bool, tmp_path: Path
) -> None:
    trainers = [make_trainer(tmp_path, critic=critic, value_coef=coef) for coef in (0.1, 0.5)]
    little, much = (gradients(trainer, written_rollout(), critic_only)[1] for trainer in trainers)
    torch.testing.assert_close(little, much)
    if critic_only:
        (_, head) = gradients(
            make_trainer(tmp_path, critic="value_head", value_coef=0.25), written_rollout()
        )
        torch.testing.assert_close(much[-len(head) :], 4 * head)


def test_a_value_beyond_its_clip_is_pushed_no_further(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, value_clip=0.2)
    rollout = written_rollout()
    targets, _ = targets_at(trainer, rollout)
    values = targets.old_values
    moved_up = replace(targets, old_values=values - 1)
    for wanted, fraction in ((values + 1, 1.0), (values - 2, 0.0)):
        assert trainer.learner.critic_optimiser
        critic = Recorder(trainer.learner.critic_optimiser)
        trainer.learner.critic_optimiser = critic  # type: ignore[assignment]
        metrics = trainer.learner.update(
            0, rollout, replace(moved_up, returns=wanted), critic_only=True
        )
        assert metrics["value_clip_fraction"] == fraction
        assert bool(critic.gradients[0].norm()) == (fraction == 0)


def test_the_ratio_is_clipped_where_the_policy_has_left_the_one_that_sampled(
    tmp_path: Path,
) -> None:
    trainer = make_trainer(tmp_path, estimator="reinforce", clip=0.2)
    rollout = written_rollout()
    targets, _ = targets_at(trainer, rollout)
    assert targets.old_logp is not None
    left = replace(
        targets, old_logp=targets.old_logp - math.log(1.5), advantages=torch.ones_like(targets.mask)
    )
    metrics = trainer.learner.update(0, rollout, left, critic_only=False)
    assert metrics["clip_fraction"] == 1 and metrics["loss/policy"] == pytest.approx(-1.2)
    assert metrics["grad_norm/policy"] == 0


def test_a_policy_that_trains_drops_nothing_out_and_its_reference_stays_as_it_is(
    tmp_path: Path,
) -> None:
    trainer = make_trainer(tmp_path, learning_rate=1e-2)
    assert not trainer.models.policy.training and not role(trainer, "reference").training
    assert not any(p.requires_grad for p in role(trainer, "reference").parameters())
    before = [p.clone() for p in role(trainer, "reference").parameters()]
    trainer.run()
    assert all(
        torch.equal(p, was)
        for p, was in zip(role(trainer, "reference").parameters(), before, strict=True)
    )


def test_a_step_takes_the_next_problems_of_a_shuffled_pass_each_as_often_as_asked(
    tmp_path: Path,
) -> None:
    trainer = make_trainer(tmp_path, seed=5, estimator="rloo", **GROUPED)
    for step in (0, 1, 2):
        rollout, _ = trainer.step(step)
        rows = batch_rows(4, 2, step, 5)
        assert [sample.id for sample in rollout.samples] == [
            str(row) for row in rows for _ in range(2)
        ]


def test_a_response_is_scored_as_the_text_it_is_beside_what_is_known_of_it(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, max_new_tokens=24)
    trainer.step(0)
    rollout, _ = trainer.step(1)
    tokenizer = trainer.context.tokenizer
    for sample, tokens, mask in zip(rollout.samples, rollout.tokens, rollout.mask, strict=True):
        problem = trainer.collector.problems[int(sample.id)]
        response = tokens[1:][mask > 0].tolist()
        truncated = response[-1] != EOS
        text = tokenizer.decode(response, skip_special_tokens=True)
        known = {"num_tokens": len(response), "max_tokens": 24, "truncated": truncated, "step": 1}
        assert sample == Sample(
            problem.problem, text, problem.answer, problem.id, problem.metadata, **known
        )
    assert {sample.truncated for sample in rollout.samples} == {True, False}


def test_responses_are_drawn_anew_by_each_step_and_seed_and_by_nothing_else(tmp_path: Path) -> None:
    def drawn(step: int, **options: Any) -> dict[str, str]:
        return {
            sample.id: sample.response
            for sample in make_trainer(tmp_path, **options).step(step)[0].samples
        }

    assert drawn(0) == drawn(0)
    assert (
        len({str(sorted(found.items())) for found in (drawn(0), drawn(1), drawn(0, seed=1))}) == 3
    )


def test_rollouts_are_drawn_at_the_recipes_temperature(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, temperature=1e-4)
    samples = trainer.step(0)[0].samples
    prompts = [trainer.context.tokenizer(sample.prompt)["input_ids"] for sample in samples]
    limits: dict[str, Any] = {
        "seeds": [0] * len(prompts),
        "eos_ids": {EOS},
        "pad_id": 0,
        "at_once": 4,
    }
    greedy = dict(
        generate(role(trainer, "reference"), prompts, Sampling(6, temperature=0), **limits)
    )
    assert [s.response for s in samples] == trainer.context.tokenizer.batch_decode(
        [greedy[row].tokens for row in range(len(prompts))], skip_special_tokens=True
    )


@pytest.mark.parametrize("critic", ["own", "value_head"])
def test_every_matrix_product_is_in_bfloat16_where_the_recipe_says_so(
    critic: str, tmp_path: Path
) -> None:
    trainer = make_trainer(tmp_path, precision="bfloat16", critic=critic)
    assert trainer.models.value_head is not None
    handling_of(trainer.models.policy)  # it is tried in float32 before it decodes
    found = set()
    names: list[Role] = ["policy", "reference", "critic"]
    for model in (role(trainer, name) for name in names[: 3 if critic == "own" else 2]):
        for layer in model.modules():
            if isinstance(layer, torch.nn.Linear):
                layer.register_forward_hook(lambda _layer, _inputs, output: found.add(output.dtype))
    trainer.step(0)
    assert found == {torch.bfloat16}
    assert {
        p.dtype for p in (*trainer.models.policy.parameters(), *critic_parameters(trainer))
    } == {torch.float32}


def test_the_scorer_mixes_by_the_alpha_of_its_step(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, alpha=Schedule(start=0.0, end=1.0), steps=3)
    trainer.run()
    scorer: Any = trainer.gatherer.scorer
    assert scorer.alphas == [row["alpha"] for row in rows_of(trainer)] == [0, 0.5, 1]


def test_the_time_of_a_step_is_that_of_its_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make_trainer(tmp_path)
    # The step begins; sampling begins and ends; scoring ends; the update begins and ends.
    times_s = [100.0, 100.0, 101.0, 103.0, 103.0, 108.0]
    clock = SimpleNamespace(perf_counter=iter(times_s).__next__)
    monkeypatch.setattr("rlsp_cli.engine.ppo.time", clock)
    monkeypatch.setattr("rlsp_cli.engine.gather.time", clock)
    rollout, metrics = trainer.step(0)
    times = {key: value for key, value in metrics.items() if key.startswith("time/")}
    speed = pytest.approx(float(rollout.mask.sum()) / 8, abs=0.05)
    assert times == {
        "time/rollout_s": 1,
        "time/score_s": 2,
        "time/train_s": 5,
        "time/tokens_per_s": speed,
    }


def rows_of(trainer: PpoTrainer) -> list[dict[str, Any]]:
    """The metrics of a run, without the clock."""
    rows = read_rows(trainer.context.paths.metrics)
    return [
        {key: value for key, value in row.items() if not key.startswith("time/")} for row in rows
    ]


@pytest.mark.parametrize(("warm_up", "critic"), [(0, "own"), (2, "own"), (2, "value_head")])
def test_both_schedules_end_with_the_last_update(warm_up: int, critic: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "steps": 5,
        "critic_warmup_steps": warm_up,
        "epochs": 2,
        "train_batch": 2,
        "critic": critic,
    }
    rates: dict[str, Any] = {
        "learning_rate": 1e-3,
        "critic_learning_rate": 2e-3,
        "schedule": "linear",
        "min_lr_ratio": 0.1,
    }
    trainer = make_trainer(tmp_path, **options, **rates)
    trainer.run()
    policy_updates, critic_updates = (5 - warm_up) * 4, 5 * 4
    for optimiser, updates in (
        (trainer.learner.optimiser, policy_updates),
        (trainer.learner.critic_optimiser, critic_updates),
    ):
        assert optimiser and optimiser.steps == optimiser.total == updates
    last = rows_of(trainer)[-1]
    # A step logs the mean over its four updates; a straight line falls from the peak to a tenth of
    # it.
    for name, peak, updates in (("policy", 1e-3, policy_updates), ("critic", 2e-3, critic_updates)):
        assert last[f"lr/{name}"] == pytest.approx(peak * (1 - 0.9 * (updates - 2.5) / updates))


def test_without_a_critic_there_is_no_warm_up(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, estimator="reinforce", steps=3, critic_warmup_steps=2)
    trainer.run()
    assert [row["critic_only"] for row in rows_of(trainer)] == [0, 0, 0]
    assert trainer.learner.optimiser.steps == trainer.learner.optimiser.total == 3


def test_the_warm_up_trains_the_critic_and_leaves_the_policy_as_it_is(tmp_path: Path) -> None:
    trainer = make_trainer(
        tmp_path, critic_warmup_steps=1, learning_rate=1e-2, critic_learning_rate=1e-2
    )
    assert trainer.models.value_head is not None
    critic = [p.clone() for p in critic_parameters(trainer)]
    for step, same in ((0, True), (1, False)):
        trainer.step(step)
        pairs = zip(
            trainer.models.policy.parameters(), role(trainer, "reference").parameters(), strict=True
        )
        assert all(torch.equal(p, r) for p, r in pairs) == same
    assert all(
        not torch.equal(p, before)
        for p, before in zip(critic_parameters(trainer), critic, strict=True)
    )


def orders(folder: Path, steps: Sequence[int], seed: int = 0) -> list[list[int]]:
    """In which order each step and epoch takes 32 responses, of which a minibatch has eight."""
    trainer = make_trainer(
        folder, rollout_batch=32, train_batch=8, epochs=2, seed=seed, estimator="reinforce"
    )
    seen: list[list[int]] = []

    def minibatch(
        rollout: object, targets: object, rows: torch.Tensor, critic_only: bool
    ) -> dict[str, float]:
        seen.append(rows.tolist())
        return {}

    trainer.learner._minibatch = minibatch  # type: ignore[method-assign]
    for step in steps:
        trainer.step(step)
    assert [len(rows) for rows in seen] == [8] * 8 * len(steps)
    return [[row for rows in seen[k : k + 4] for row in rows] for k in range(0, len(seen), 4)]


def test_minibatches_hold_every_response_once_an_epoch_in_an_order_of_its_own(
    tmp_path: Path,
) -> None:
    found = [*orders(tmp_path, (0, 1)), *orders(tmp_path, (0,), seed=1)]
    assert all(sorted(order) == list(range(32)) for order in found)
    assert len({tuple(order) for order in [*found, list(range(32))]}) == 7
    assert orders(tmp_path, (1,)) == found[2:4]


def test_unscored_responses_are_in_no_minibatch_and_make_no_update_less(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, rewards=[1.0, None, 0.5, 0.0], train_batch=2)
    trainer.run()
    assert trainer.learner.optimiser.steps == trainer.learner.optimiser.total == 4
    (first, second) = trainer.learner.minibatches(0, torch.tensor([0, 2, 3]))
    assert sorted(torch.cat([first, second]).tolist()) == [0, 2, 3]


def test_the_kl_target_is_per_token(tmp_path: Path) -> None:
    options: dict[str, Any] = {"kl_estimator": "k2", "kl_coef": 0.5, "kl_horizon": 40}

    def after_a_step(**more: Any) -> tuple[PpoTrainer, dict[str, float]]:
        trainer = make_trainer(tmp_path, **options, **more)
        move(trainer)
        return trainer, trainer.step(0)[1]

    fixed, metrics = after_a_step()
    assert fixed.kl_coef == 0.5
    target = 1.1 * metrics["kl/token"]
    assert target < metrics["kl/response"]  # by that measure the coefficient would rise
    adapted, _ = after_a_step(kl_target=target)
    assert adapted.kl_coef == pytest.approx(0.5 * (1 + (1 / 1.1 - 1) * 4 / 40))


def test_a_run_writes_each_step_and_response_and_the_trained_model(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, learning_rate=1e-2)
    trainer.run()
    assert [(row["step"], row["total_steps"]) for row in rows_of(trainer)] == [(0, 2), (1, 2)]
    written = list(read_rows(trainer.context.paths.rollouts))
    assert [row["step"] for row in written] == [0] * 4 + [1] * 4
    assert [row["reward"] for row in written] == REWARDS * 2
    assert sorted(row["id"] for row in written[:4]) == ["0", "1", "2", "3"]
    saved = type(trainer.models.policy).from_pretrained(trainer.context.paths.final)
    assert all(
        torch.equal(p, q)
        for p, q in zip(trainer.models.policy.parameters(), saved.parameters(), strict=True)
    )
    assert load_tokenizer(str(trainer.context.paths.final))("a b")["input_ids"] == [3, 4]


@pytest.mark.parametrize(("steps", "saved"), [(4, [2]), (5, [2, 4])])
def test_checkpoints_come_every_so_many_steps_and_not_beside_the_final_model(
    steps: int, saved: list[int], tmp_path: Path
) -> None:
    trainer = make_trainer(tmp_path, steps=steps, save_every=2)
    found: list[int] = []
    trainer._save = found.append  # type: ignore[assignment]
    trainer.run()
    assert found == saved


def test_a_rollout_that_is_refused_loses_nothing_learnt_before(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, rewards=[*REWARDS, None, None, None, None], steps=3)
    with pytest.raises(SafetyError, match="4 of 4 responses failed"):
        trainer.run()
    checkpoint = newest_checkpoint(trainer.context.paths.checkpoints)
    assert checkpoint is not None and checkpoint.step == 1 == len(rows_of(trainer))


LORA = [{"lora": {"rank": 2}}, {"lora": {"rank": 2}, "critic": "value_head"}]


ROLE: dict[str, Any] = {"estimator": "role"}
BEGUN: dict[str, Any] = {"problems": [replace(one, start="l k") for one in PROBLEMS]}
PRIME: dict[str, Any] = {"estimator": "rloo", "implicit_prm": {"learning_rate": 1e-3}, **GROUPED}


@pytest.mark.parametrize(
    "options", [*ESTIMATORS[:3], *LORA, ROLE, BEGUN, PRIME, {**PRIME, "lora": {"rank": 2}}]
)
def test_a_resumed_run_is_the_uninterrupted_one(options: dict[str, Any], tmp_path: Path) -> None:
    settings = {
        **options,
        "steps": 4,
        "critic_warmup_steps": 1,
        "learning_rate": 1e-3,
        "critic_learning_rate": 1e-3,
    }
    settings |= {"kl_estimator": "k2", "kl_target": 0.01, "kl_horizon": 10, "train_batch": 2}
    whole = make_trainer(tmp_path / "whole", **settings)
    whole.run()
    assert len({row["kl/coef"] for row in rows_of(whole)}) > 2

    stopped = make_trainer(tmp_path / "parts", **settings)
    stopped.context.stop.signal = signal.SIGINT  # it leaves after its first step
    with pytest.raises(StoppedError):
        stopped.run()
    stopped.context.stop.signal = None
    one_more = make_trainer(tmp_path / "parts", **settings)
    one_more.context.stop.signal = signal.SIGTERM
    with pytest.raises(StoppedError):
        one_more.run()
    resumed = make_trainer(tmp_path / "parts", **settings)
    resumed.run()

    assert rows_of(resumed) == rows_of(whole) and resumed.kl_coef == whole.kl_coef
    for left, right in zip(
        resumed.models.policy.parameters(), whole.models.policy.parameters(), strict=True
    ):
        assert torch.equal(left, right)
