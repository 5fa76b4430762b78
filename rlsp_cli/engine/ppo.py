"""PPO with an outcome verifier and exploration rewards (RLSP, arXiv 2502.06773, section 2.3).

One step: sample a rollout, score it, penalise the KL to the frozen reference in the per-token reward,
estimate advantages, then update critic and policy on minibatches. The first `critic_warmup_steps`
steps train the critic alone.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from transformers import PreTrainedModel

from rlsp_cli.data import Problem
from rlsp_cli.engine import advantage
from rlsp_cli.engine.batch import batch_rows, micro_batches
from rlsp_cli.engine.checkpoint import newest_checkpoint, save_checkpoint, save_model
from rlsp_cli.engine.decode import Generated, Sampling, generate
from rlsp_cli.engine.draw import row_seeds
from rlsp_cli.engine.ending import end_ids
from rlsp_cli.engine.logprobs import last_states, token_logp
from rlsp_cli.engine.loss import policy_loss, value_loss
from rlsp_cli.engine.model import ValueHead, checkpoint_layers, layers_in_training, refuse_overflow
from rlsp_cli.engine.optimise import Optimiser
from rlsp_cli.engine.precision import autocast, computes_in_bfloat16
from rlsp_cli.engine.prompt import decode_responses, encode_prompt, prompt_text
from rlsp_cli.engine.roles import Role, make_roles
from rlsp_cli.engine.rollout import (
    Rollout,
    as_tensors,
    in_micro_batches,
    recorded,
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
    """What the update of one rollout needs; all (N, T), rows of unscored responses masked out.

    Without `old_logp` the policy is its own old one: the rollout's only update starts from it.
    """

    mask: torch.Tensor
    old_logp: torch.Tensor | None
    old_values: torch.Tensor
    advantages: torch.Tensor
    returns: torch.Tensor

    def part(self, rows: torch.Tensor, width: int) -> "Targets":
        """The first `width` positions of some rows."""

        def cut(tensor: torch.Tensor) -> torch.Tensor:
            return tensor[rows, :width]

        return Targets(
            cut(self.mask),
            None if self.old_logp is None else cut(self.old_logp),
            cut(self.old_values),
            cut(self.advantages),
            cut(self.returns),
        )


class PpoTrainer:
    """Trains the context's model in place; `run` writes metrics, rollouts, checkpoints and `final`."""

    def __init__(
        self, context: Context, settings: Ppo, problems: Sequence[Problem], scorer: Scorer
    ) -> None:
        self.context, self.settings, self.problems = context, settings, problems
        self.scorer, self.recipe, self.device = scorer, context.recipe, context.device
        self.policy = context.model.eval()  # no dropout: it would make the probability ratios noisy
        self.total = settings.num_steps(len(problems))
        refuse_overflow(self.policy, map(self._prompt, problems), settings.max_new_tokens)
        self.kl_coef = settings.kl_coef
        if settings.gradient_checkpointing:
            checkpoint_layers(self.policy)  # before it is copied for other roles
        self.roles = make_roles(self.policy, settings, self.recipe.seed, self._other_roles())

        updates = settings.epochs * max(1, settings.responses // settings.train_batch)
        self.single_update = updates == 1
        self.optimiser = Optimiser(
            self.roles.parameters("policy"),
            settings,
            settings.learning_rate,
            updates * (self.total - self.warmup_steps),
        )
        self.value_head: ValueHead | None = None
        if settings.estimator == "gae":
            self.value_head = ValueHead(self.policy)
            layers = self.roles.parameters("critic") if settings.critic == "own" else []
            self.critic_optimiser = Optimiser(
                [*layers, *self.value_head.parameters()],
                settings,
                settings.critic_learning_rate,
                updates * self.total,
            )

    def _other_roles(self) -> tuple[Role, ...]:
        """The roles beside the policy that this recipe has a use for."""
        roles: list[Role] = []
        if self.uses_kl:
            roles.append("reference")
        if self.settings.estimator == "gae" and self.settings.critic == "own":
            roles.append("critic")
        return tuple(roles)

    @property
    def uses_kl(self) -> bool:
        """Whether the KL to the reference has a weight, or could get one."""
        return self.settings.kl_coef > 0 or self.settings.kl_target is not None

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
        keep = self.settings.lora is not None and self.settings.lora.keep_adapter
        save_model(paths.final, self.policy, self.context.tokenizer, keep)

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
        rollout = Rollout(samples, scores, *tensors, recorded=recorded(generated, tensors[1]))
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
        temperature = settings.temperature
        sampling = Sampling(settings.max_new_tokens, temperature, record=temperature)
        with autocast(self.policy, self.recipe.model.precision):
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
        old = self._old(rollout)  # (N, T, 2)
        metrics = {"entropy": float(advantage.masked_mean(old[..., 1], mask))}
        kl = torch.zeros_like(mask)
        if self.uses_kl:
            reference = self._in_micro_batches(partial(self._logp, "reference"), rollout)[..., 0]
            kl = advantage.kl_estimate(old[..., 0], reference, settings.kl_estimator)
            metrics["kl/response"] = float((kl * mask).sum(1).mean())
            metrics["kl/token"] = float(advantage.masked_mean(kl, mask))
            metrics["kl/coef"] = self.kl_coef

        values = torch.zeros_like(mask)
        if self.value_head is not None:
            values = self._in_micro_batches(self._values, rollout)
        scored = torch.tensor(
            [float(s.reward is not None) for s in rollout.scores], device=self.device
        )
        mask = mask * scored[:, None]
        scores = self._mixed_scores(rollout, scored)
        advantages, returns = advantage.advantages_and_returns(
            scores, kl, values, mask, self.kl_coef, settings
        )
        if self.value_head is not None:
            metrics["explained_variance"] = advantage.explained_variance(values, returns, mask)
        old_logp = None if self.single_update and not self.in_float32 else old[..., 0]
        return Targets(mask, old_logp, values, advantages, returns), metrics

    @property
    def in_float32(self) -> bool:
        """Whether decoding and training compute in float32, and so agree on log-probabilities (`trial.py`)."""
        return not computes_in_bfloat16(self.policy, self.recipe.model.precision)

    def _old(self, rollout: Rollout) -> torch.Tensor:
        """(N, T, 2) log-probability and entropy of each token under the policy that drew it.

        In bfloat16, sums over other batches differ by more than PPO's ratios should. What decoding
        recorded is then used only where no ratio is taken of it.
        """
        if rollout.recorded is not None and (self.in_float32 or self.single_update):
            return rollout.recorded
        return self._in_micro_batches(partial(self._logp, "policy"), rollout)

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
        if self.value_head is not None:
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
        tokens, part = rollout.tokens[rows, :width], targets.part(rows, width - 1)
        if critic_only:
            return self._value_pass(tokens, part, count)
        if self.value_head is None or self.settings.critic == "value_head":
            return self._policy_pass(tokens, part, count)
        return self._policy_pass(tokens, part, count) | self._value_pass(tokens, part, count)

    def _policy_pass(
        self, tokens: torch.Tensor, targets: Targets, count: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """Gradients of the policy; with a value head on its layers, of both losses."""
        settings, mask = self.settings, targets.mask
        # The backward pass runs the layers again where activations are not kept: the same adapter has to be active.
        with self._training(self.roles.playing("policy")) as model:
            states = last_states(model, tokens)
            facts = token_logp(
                model, states, tokens, mask, settings.temperature, settings.entropy_coef > 0
            )
            logp = facts[..., 0]
            old_logp = logp.detach() if targets.old_logp is None else targets.old_logp
            policy, clipped = policy_loss(
                logp, old_logp, targets.advantages, mask, settings.clip, settings.clip_high
            )
            sums = {"loss/policy": policy, "clip_fraction": clipped}
            loss = policy
            if settings.entropy_coef > 0:
                loss = loss - settings.entropy_coef * (facts[..., 1] * mask).sum()
            if settings.estimator == "gae" and settings.critic == "value_head":
                sums |= self._value_loss(states, targets)
                loss = loss + settings.value_coef * sums["loss/value"]
            (loss / count).backward()  # type: ignore[no-untyped-call]
        return {key: value.detach() for key, value in sums.items()}

    def _value_pass(
        self, tokens: torch.Tensor, targets: Targets, count: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """Gradients of the critic alone; the policy's layers, where it stands on them, do not learn from it."""
        with self._training(self._critic()) as model:
            states = last_states(model, tokens)
            sums = self._value_loss(
                states.detach() if self.settings.critic == "value_head" else states, targets
            )
            (sums["loss/value"] / count).backward()  # type: ignore[no-untyped-call]
        return {key: value.detach() for key, value in sums.items()}

    def _value_loss(self, states: torch.Tensor, targets: Targets) -> dict[str, torch.Tensor]:
        assert self.value_head is not None
        values = self.value_head(states)[:, :-1]
        error, clipped = value_loss(
            values, targets.old_values, targets.returns, targets.mask, self.settings.value_clip
        )
        return {"loss/value": error, "value_clip_fraction": clipped}

    def _logp(self, role: Role, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """(n, t, 2) log-probability and entropy under the model of a role."""
        with self.roles.playing(role) as model, self._autocast():
            states = last_states(model, tokens)
            return token_logp(model, states, tokens, mask, self.settings.temperature, entropy=True)

    def _values(self, tokens: torch.Tensor, _mask: torch.Tensor) -> torch.Tensor:
        """(n, t+1) tokens -> (n, t) values."""
        assert self.value_head is not None
        with self._critic() as model, self._autocast():
            values: torch.Tensor = self.value_head(last_states(model, tokens))[:, :-1]
        return values

    def _critic(self) -> AbstractContextManager[PreTrainedModel]:
        """The layers that the value head stands on."""
        return self.roles.playing("critic" if self.settings.critic == "own" else "policy")

    @contextmanager
    def _training(
        self, playing: AbstractContextManager[PreTrainedModel]
    ) -> Iterator[PreTrainedModel]:
        """A model for a forward and a backward pass, which may compute its layers a second time."""
        with playing as model, self._autocast():
            if not self.settings.gradient_checkpointing:
                yield model
                return
            with layers_in_training(model):
                yield model

    def _autocast(self) -> AbstractContextManager[object]:
        return autocast(self.policy, self.recipe.model.precision)

    def _in_micro_batches(
        self, function: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], rollout: Rollout
    ) -> torch.Tensor:
        return in_micro_batches(function, rollout, self.settings.micro_batch)

    def _save(self, step: int) -> None:
        trainer: dict[str, Any] = {
            "kl_coef": self.kl_coef,
            "policy_optimiser": self.optimiser.state_dict(),
            "roles": self.roles.state(),
        }
        if self.value_head is not None:
            trainer["value_head"] = self.value_head.state_dict()
            trainer["critic_optimiser"] = self.critic_optimiser.state_dict()
        save_checkpoint(
            self.context.paths.checkpoint(step), self.policy, self.context.tokenizer, step, trainer
        )

    def _restore(self) -> int:
        """Load the newest checkpoint; returns the steps done. The reference stays the policy that PPO started from."""
        checkpoint = newest_checkpoint(self.context.paths.checkpoints)
        if checkpoint is None:
            return 0
        self.roles.restore(checkpoint.folder, checkpoint.trainer["roles"])
        self.kl_coef = checkpoint.trainer["kl_coef"]
        self.optimiser.load_state_dict(checkpoint.trainer["policy_optimiser"])
        if self.value_head is not None:
            self.value_head.load_state_dict(checkpoint.trainer["value_head"])
            self.critic_optimiser.load_state_dict(checkpoint.trainer["critic_optimiser"])
        print(
            f"ppo: resumed after step {checkpoint.step}: weights, critic, optimisers, schedules, KL coefficient, "
            "data position, random numbers"
        )
        return checkpoint.step
