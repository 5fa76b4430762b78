"""PPO with an outcome verifier and exploration rewards (RLSP, arXiv 2502.06773, section 2.3).

One step: sample a rollout, score it, penalise the KL to the frozen reference in the per-token
    reward, estimate
advantages, then update critic and policy on minibatches. The first `critic_warmup_steps` steps
train the critic alone.
"""

import copy
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from rlsp_cli.data import Problem
from rlsp_cli.engine import advantage
from rlsp_cli.engine.batch import batch_rows, micro_batches
from rlsp_cli.engine.checkpoint import newest_checkpoint, save_checkpoint, save_model
from rlsp_cli.engine.decode import Generated, Sampling, generate
from rlsp_cli.engine.draw import row_seeds
from rlsp_cli.engine.ending import end_ids
from rlsp_cli.engine.loss import policy_loss, value_loss
from rlsp_cli.engine.model import Critic, autocast, refuse_overflow
from rlsp_cli.engine.optimise import Optimiser
from rlsp_cli.engine.prompt import decode_responses, encode_prompt, prompt_text
from rlsp_cli.engine.rollout import (
    Rollout,
    as_tensors,
    entropy,
    in_micro_batches,
    last_states,
    log_probabilities,
)
from rlsp_cli.engine.seed import generator
from rlsp_cli.engine.stage import Context
from rlsp_cli.errors import SafetyError
from rlsp_cli.recipe.schema import Ppo
from rlsp_cli.rewards.breaker import refuse_failing
from rlsp_cli.rewards.combine import alpha_at
from rlsp_cli.rewards.ledger import ledger
from rlsp_cli.rewards.plain import rollout_row
from rlsp_cli.rewards.sample import Sample
from rlsp_cli.rewards.scorer import Scorer
from rlsp_cli.runs.stream import append_rows, drop_rows_from
from rlsp_cli.terminal import print


@dataclass(frozen=True)
class Targets:
    """What the update of one rollout needs; all (N, T), rows of unscored responses masked out."""

    mask: torch.Tensor
    old_logp: torch.Tensor
    old_values: torch.Tensor
    advantages: torch.Tensor
    returns: torch.Tensor


class PpoTrainer:
    """Trains the context's model in place; `run` writes metrics, rollouts, checkpoints and `final`."""

    def __init__(
        self, context: Context, settings: Ppo, problems: Sequence[Problem], scorer: Scorer
    ) -> None:
        self.context, self.settings, self.problems, self.scorer = (
            context,
            settings,
            problems,
            scorer,
        )
        self.recipe, self.device = context.recipe, context.device
        self.policy = context.model.eval()  # no dropout: it would make the probability ratios noisy
        self.reference = copy.deepcopy(self.policy).requires_grad_(False).eval()
        self.total = settings.num_steps(len(problems))
        refuse_overflow(self.policy, map(self._prompt, problems), settings.max_new_tokens)
        self.kl_coef = settings.kl_coef
        updates = settings.epochs * max(1, settings.responses // settings.train_batch)
        policy_updates = updates * (self.total - self.warmup_steps)
        self.optimiser = Optimiser(
            self.policy.parameters(), settings, settings.learning_rate, policy_updates
        )
        self.critic: Critic | None = None
        if settings.estimator == "gae":
            self.critic = Critic(self.policy, own_trunk=settings.critic == "own")
            self.critic_optimiser = Optimiser(
                self.critic.parameters(),
                settings,
                settings.critic_learning_rate,
                updates * self.total,
            )

    @property
    def warmup_steps(self) -> int:
        """Steps in which only the critic learns; none when there is no critic."""
        return self.settings.critic_warmup_steps if self.settings.estimator == "gae" else 0

    def run(self) -> None:
        """All steps, from the newest checkpoint where there is one."""
        paths, start = self.context.paths, self._restore()
        for stream in (paths.metrics, paths.rollouts):
            drop_rows_from(stream, start)
        for step in range(start, self.total):
            try:
                rollout, metrics = self.step(step)
            except SafetyError:
                self._save(step)  # it is raised before the update: nothing learnt so far is lost
                raise
            append_rows(paths.metrics, [{"step": step, "total_steps": self.total, **metrics}])
            pairs = zip(rollout.samples, rollout.scores, strict=True)
            append_rows(
                paths.rollouts, [rollout_row(step, sample, score) for sample, score in pairs]
            )
            if self.settings.export_every and (step + 1) % self.settings.export_every == 0:
                save_model(paths.exported(step + 1), self.policy, self.context.tokenizer)
            due = (step + 1) % self.settings.save_every == 0 and step + 1 < self.total
            if due or self.context.stop.is_set:
                self._save(step + 1)
            self.context.stop.leave_if_set()
        save_model(paths.final, self.policy, self.context.tokenizer)

    def step(self, step: int) -> tuple[Rollout, dict[str, float]]:
        """One rollout and its update; returns the rollout and the metrics of docs/metrics.md."""
        began = time.perf_counter()
        problems = self._choose_problems(step)
        prompts, samples, generated = self._sample(step, problems)
        sampled = time.perf_counter()
        alpha = alpha_at(self.recipe.reward.alpha, step, self.total)
        scores = self.scorer.score(samples, alpha)
        scored = time.perf_counter()
        tensors = as_tensors(prompts, generated, self.context.tokenizer.pad_token_id, self.device)
        rollout = Rollout(samples, scores, *tensors)
        refuse_failing(samples, scores, self.recipe.reward)
        targets, kl_metrics = self.targets(rollout)
        critic_only = step < self.warmup_steps
        losses = self.update(step, rollout, targets, critic_only)
        if self.settings.kl_target is not None:
            self.kl_coef = advantage.adapted_kl_coef(
                self.kl_coef,
                kl_metrics["kl/token"],
                self.settings.kl_target,
                len(samples),
                self.settings.kl_horizon,
            )
        ended = time.perf_counter()
        tokens = sum(len(response.tokens) for response in generated)
        return rollout, {
            **ledger(samples, scores, self.recipe.reward, alpha),
            **kl_metrics,
            **losses,
            "critic_only": int(critic_only),
            "time/rollout_s": round(sampled - began, 3),
            "time/score_s": round(scored - sampled, 3),
            "time/train_s": round(ended - scored, 3),
            "time/tokens_per_s": round(tokens / (ended - began), 1),
        }

    def _choose_problems(self, step: int) -> list[Problem]:
        """The step's problems, each `samples_per_prompt` times in a row."""
        rows = batch_rows(len(self.problems), self.settings.rollout_batch, step, self.recipe.seed)
        return [self.problems[row] for row in rows for _ in range(self.settings.samples_per_prompt)]

    def _prompt(self, problem: Problem) -> list[int]:
        text = prompt_text(problem.problem, self.recipe.data, self.context.tokenizer)
        return encode_prompt(text, self.context.tokenizer)

    def _sample(
        self, step: int, problems: Sequence[Problem]
    ) -> tuple[list[list[int]], list[Sample], list[Generated]]:
        settings, tokenizer = self.settings, self.context.tokenizer
        texts = [prompt_text(problem.problem, self.recipe.data, tokenizer) for problem in problems]
        prompts = [encode_prompt(text, tokenizer) for text in texts]
        sampling = Sampling(settings.max_new_tokens, settings.temperature)
        with autocast(self.device, self.recipe.model.precision):
            responses = dict(
                generate(
                    self.policy,
                    prompts,
                    sampling,
                    seeds=row_seeds(self.recipe.seed, "rollout", step, len(prompts)),
                    eos_ids=end_ids(self.policy, tokenizer),
                    pad_id=tokenizer.pad_token_id,
                    at_once=settings.decode_batch,
                )
            )
        generated = [responses[row] for row in range(len(prompts))]
        replies = decode_responses(texts, [response.tokens for response in generated], tokenizer)
        samples = [
            Sample(
                prompt=text,
                response=reply,
                reference=problem.answer,
                id=problem.id,
                metadata=problem.metadata,
                num_tokens=len(response.tokens),
                max_tokens=settings.max_new_tokens,
                truncated=response.truncated,
                step=step,
            )
            for text, reply, problem, response in zip(
                texts, replies, problems, generated, strict=True
            )
        ]
        return prompts, samples, generated

    @torch.no_grad()
    def targets(self, rollout: Rollout) -> tuple[Targets, dict[str, float]]:
        """Log-probabilities, values, advantages and returns of a rollout, and the metrics known from them."""
        settings, mask = self.settings, rollout.mask
        old = self._in_micro_batches(self._old_logp_and_entropy, rollout)  # (N, T, 2)
        reference = self._in_micro_batches(
            lambda tokens: self._logp(self.reference, tokens), rollout
        )
        kl = advantage.kl_estimate(old[..., 0], reference, settings.kl_estimator)
        scored = torch.tensor(
            [float(s.reward is not None) for s in rollout.scores], device=self.device
        )
        values = torch.zeros_like(mask)
        if self.critic is not None:
            values = self._in_micro_batches(self._values, rollout)
        metrics = {
            "kl/response": float((kl * mask).sum(1).mean()),
            "kl/token": float(advantage.masked_mean(kl, mask)),
            "kl/coef": self.kl_coef,
            "entropy": float(advantage.masked_mean(old[..., 1], mask)),
        }
        mask = mask * scored[:, None]
        scores = self._mixed_scores(rollout, scored)
        advantages, returns = advantage.advantages_and_returns(
            scores, kl, values, mask, self.kl_coef, settings
        )
        if self.critic is not None:
            unexplained = advantage.masked_mean((returns - values).square(), mask)
            spread = advantage.masked_mean(
                (returns - advantage.masked_mean(returns, mask)).square(), mask
            )
            metrics["explained_variance"] = float(1 - unexplained / (spread + 1e-8))
        return Targets(mask, old[..., 0], values, advantages, returns), metrics

    def _mixed_scores(self, rollout: Rollout, scored: torch.Tensor) -> torch.Tensor:
        """(N,) scores: the rewards, or with `advantages: separate` both streams, each normalised before the mixture."""
        columns: list[tuple[float, ...]] = [(score.reward or 0.0,) for score in rollout.scores]
        weights = [1.0]
        if self.settings.advantages == "separate":
            alpha = alpha_at(self.recipe.reward.alpha, rollout.samples[0].step or 0, self.total)
            columns, weights = (
                [score.streams or (0.0, 0.0) for score in rollout.scores],
                [alpha, 1 - alpha],
            )
        streams = torch.tensor(columns, device=self.device)
        return advantage.mixed(
            streams, weights, scored, self.settings.samples_per_prompt, self.settings.estimator
        )

    def update(
        self, step: int, rollout: Rollout, targets: Targets, critic_only: bool
    ) -> dict[str, float]:
        """All minibatches of a rollout; returns the means of their losses."""
        scored = targets.mask.any(1).nonzero()[:, 0].cpu()  # unscored responses teach nothing
        records = [
            self._minibatch(rollout, targets, rows, critic_only)
            for rows in self.minibatches(step, scored)
            if len(rows)
        ]
        return {key: sum(record[key] for record in records) / len(records) for key in records[0]}

    def minibatches(self, step: int, rows: torch.Tensor) -> Iterator[torch.Tensor]:
        """The rows of each optimiser step: every epoch shuffles them anew and cuts them into equal parts."""
        parts = max(1, self.settings.responses // self.settings.train_batch)
        for epoch in range(self.settings.epochs):
            random = generator(torch.device("cpu"), self.recipe.seed, "minibatches", step, epoch)
            yield from rows[torch.randperm(len(rows), generator=random)].tensor_split(parts)

    def _minibatch(
        self, rollout: Rollout, targets: Targets, rows: torch.Tensor, critic_only: bool
    ) -> dict[str, float]:
        """One optimiser step of the critic and, after the warm-up, of the policy."""
        count = targets.mask[rows].sum()
        sums: dict[str, float] = {}
        for part in micro_batches(rollout.lengths, rows, self.settings.micro_batch):
            for key, value in self._backward(rollout, targets, part, count, critic_only).items():
                sums[key] = sums.get(key, 0.0) + float(value) / float(count)
        if self.critic is not None:
            sums["grad_norm/critic"], sums["lr/critic"] = self.critic_optimiser.step()
        if not critic_only:
            sums["grad_norm/policy"], sums["lr/policy"] = self.optimiser.step()
        return sums

    def _backward(
        self,
        rollout: Rollout,
        targets: Targets,
        rows: torch.Tensor,
        count: torch.Tensor,
        critic_only: bool,
    ) -> dict[str, torch.Tensor]:
        """Accumulate the gradients of a few rows; returns sums over their tokens."""
        width = int(rollout.lengths[rows].max())
        tokens = rollout.tokens[rows, :width]
        old_logp, old_values, advantages, returns, mask = (
            tensor[rows, : width - 1]
            for tensor in (
                targets.old_logp,
                targets.old_values,
                targets.advantages,
                targets.returns,
                targets.mask,
            )
        )
        sums: dict[str, torch.Tensor] = {}
        loss = torch.zeros((), device=self.device)
        if not critic_only:
            logp = self._logp(self.policy, tokens)
            sums["loss/policy"], sums["clip_fraction"] = policy_loss(
                logp, old_logp, advantages, mask, self.settings.clip
            )
            loss = loss + sums["loss/policy"]
        if self.critic is not None:
            values = self._values(tokens, train_trunk=not critic_only)
            sums["loss/value"], sums["value_clip_fraction"] = value_loss(
                values, old_values, returns, mask, self.settings.value_clip
            )
            weight = (
                self.settings.value_coef
                if self.settings.critic == "value_head" and not critic_only
                else 1.0
            )
            loss = loss + weight * sums["loss/value"]
        (loss / count).backward()  # type: ignore[no-untyped-call]
        return {key: value.detach() for key, value in sums.items()}

    def _logp(self, model: Any, tokens: torch.Tensor) -> torch.Tensor:
        with autocast(self.device, self.recipe.model.precision):
            logits = model(tokens, use_cache=False).logits
        return log_probabilities(logits, tokens, self.settings.temperature)

    def _old_logp_and_entropy(self, tokens: torch.Tensor) -> torch.Tensor:
        with autocast(self.device, self.recipe.model.precision):
            logits = self.policy(tokens, use_cache=False).logits
        logp = log_probabilities(logits, tokens, self.settings.temperature)
        return torch.stack([logp, entropy(logits, self.settings.temperature)], -1)

    def _values(self, tokens: torch.Tensor, train_trunk: bool = False) -> torch.Tensor:
        """(n, t+1) tokens -> (n, t) values; for `value_head` the policy's trunk learns only if `train_trunk`."""
        assert self.critic is not None
        with autocast(self.device, self.recipe.model.precision):
            states = None
            if self.critic.trunk is None:
                states = last_states(self.policy, tokens)
                states = states if train_trunk else states.detach()
            values: torch.Tensor = self.critic(tokens, states)[:, :-1]
        return values

    def _in_micro_batches(self, function: Any, rollout: Rollout) -> torch.Tensor:
        return in_micro_batches(
            function, rollout.tokens, rollout.lengths, self.settings.micro_batch
        )

    def _save(self, step: int) -> None:
        trainer: dict[str, Any] = {
            "kl_coef": self.kl_coef,
            "policy_optimiser": self.optimiser.state_dict(),
        }
        if self.critic is not None:
            trainer["critic"] = self.critic.state_dict()
            trainer["critic_optimiser"] = self.critic_optimiser.state_dict()
        save_checkpoint(
            self.context.paths.checkpoint(step), self.policy, self.context.tokenizer, step, trainer
        )

    def _restore(self) -> int:
        """Load the newest checkpoint; returns the steps done. The reference stays the policy that PPO started from."""
        checkpoint = newest_checkpoint(self.context.paths.checkpoints)
        if checkpoint is None:
            return 0
        restored = type(self.policy).from_pretrained(checkpoint.folder, dtype=torch.float32)
        self.policy.load_state_dict(restored.state_dict())
        self.kl_coef = checkpoint.trainer["kl_coef"]
        self.optimiser.load_state_dict(checkpoint.trainer["policy_optimiser"])
        if self.critic is not None:
            self.critic.load_state_dict(checkpoint.trainer["critic"])
            self.critic_optimiser.load_state_dict(checkpoint.trainer["critic_optimiser"])
        print(
            f"ppo: resumed after step {checkpoint.step}: weights, critic, optimisers, schedules, KL coefficient, "
            "data position, random numbers"
        )
        return checkpoint.step
