"""PPO with an outcome verifier and exploration rewards (RLSP, arXiv 2502.06773, section 2.3).

One step: sample a rollout, score it, select from it, penalise the KL to the frozen reference in the per-token reward,
estimate advantages, then update critic and policy on minibatches. The first `critic_warmup_steps`
steps train the critic alone.
"""

import time
from collections.abc import Collection, Sequence

from transformers import PreTrainedModel

from rlsp_cli.data import Problem
from rlsp_cli.engine.actor_critic import ActorCritic
from rlsp_cli.engine.advantage import adapted_kl_coef
from rlsp_cli.engine.checkpoint import newest_checkpoint, save_checkpoint, save_model
from rlsp_cli.engine.collector import Collector, EmbeddedSampler, PolicySampler
from rlsp_cli.engine.dialogue import Dialogue
from rlsp_cli.engine.gather import Gathered, Gatherer
from rlsp_cli.engine.heldout import HeldoutCurve
from rlsp_cli.engine.implicit_prm import ImplicitPrmStream
from rlsp_cli.engine.learner import Learner
from rlsp_cli.engine.order import order_of
from rlsp_cli.engine.role_baselines import RoleBaselines
from rlsp_cli.engine.rollout import Rollout, as_tensors, recorded, reported
from rlsp_cli.engine.self_play import SelfPlay
from rlsp_cli.engine.stage import Context
from rlsp_cli.engine.step_rewards import step_rewards
from rlsp_cli.engine.stream import Stream
from rlsp_cli.engine.targets import targets_of
from rlsp_cli.engine.teacher import TeacherStream
from rlsp_cli.errors import NotReadyError, PluginError, SafetyError
from rlsp_cli.recipe.ppo import Ppo
from rlsp_cli.recipe.schedule import value_at
from rlsp_cli.rewards.ledger import ledger
from rlsp_cli.rewards.plain import rollout_row
from rlsp_cli.rewards.scorer import Scorer
from rlsp_cli.rewards.selection import Selector
from rlsp_cli.runs.stream import append_rows, drop_rows_from
from rlsp_cli.terminal import print


class PpoTrainer:
    """Trains the context's model in place; `run` writes metrics, rollouts, checkpoints and `final`."""

    def __init__(
        self,
        context: Context,
        settings: Ppo,
        problems: Sequence[Problem],
        scorer: Scorer,
        sampler: PolicySampler | None = None,
        heldout: Collection[Problem] = (),
        selector: Selector | None = None,
        teacher: PreTrainedModel | None = None,
        dialogue: Dialogue | None = None,
        self_play: SelfPlay | None = None,
    ) -> None:
        self.context, self.settings = context, settings
        self.recipe = context.recipe
        self.total = settings.num_steps(len(problems))
        self.kl_coef = settings.kl_coef

        seed = self.recipe.seed
        self.models = ActorCritic(context.model, settings, seed, self.recipe.model.precision)
        self.learner = Learner(self.models, settings, self.total, seed)
        self.streams = self._streams(teacher)
        self.roles = RoleBaselines()
        sampler = sampler or EmbeddedSampler(context, settings, self.models, self_play or dialogue)
        self.collector = Collector(context, settings, problems, sampler)
        order = order_of(self.recipe, problems, self.total)
        self.gatherer = Gatherer(self.collector, scorer, selector, order, self.recipe, self.total)
        self.curve = HeldoutCurve(context, settings, heldout, self.models, scorer, dialogue)

    def run(self) -> None:
        """All steps, from the newest checkpoint where there is one."""
        paths, start = self.context.paths, self._restore()
        for stream in (paths.metrics, paths.rollouts):
            drop_rows_from(stream, start)

        for step in range(start, self.total):
            try:
                rollout, metrics = self.step(step)
            except (SafetyError, NotReadyError, PluginError):
                self._save(step)  # they are raised before the update: nothing learnt so far is lost
                raise
            self._record(step, rollout, metrics | self.curve.point(step + 1))
            self._keep(step + 1)
            self.context.stop.leave_if_set()

        keep_adapter = self.settings.lora is not None and self.settings.lora.keep_adapter
        save_model(paths.final, self.models.policy, self.context.tokenizer, keep_adapter)

    def step(self, step: int) -> tuple[Rollout, dict[str, float]]:
        """One rollout and its update; returns the rollout and the metrics of docs/metrics.md."""
        began = time.perf_counter()
        alpha = value_at(self.recipe.reward.alpha, step, self.total)
        gathered = self.gatherer.gather(step, alpha)
        scored = time.perf_counter()

        rollout = self._rollout(gathered)
        targets, kl_metrics = targets_of(
            rollout, self.models, self.settings, alpha, self.kl_coef, self.streams
        )
        critic_only = step < self.settings.warmup_steps
        losses = self.learner.update(step, rollout, targets, critic_only)
        self._adapt_kl(kl_metrics, len(rollout.samples))
        ended = time.perf_counter()

        samples, scores = zip(*gathered.unaided, strict=True)  # what a hint adds is no progress
        return rollout, {
            **ledger(samples, scores, self.recipe.reward, alpha),
            **(gathered.hints() if self.settings.hints else {}),
            **(gathered.selection() if self.settings.select else {}),
            **kl_metrics,
            **losses,
            **self.roles.metrics(),
            "critic_only": int(critic_only),
            "tokens": gathered.tokens,
            "time/rollout_s": round(gathered.sampling_s, 3),
            "time/score_s": round(gathered.scoring_s, 3),
            "time/train_s": round(ended - scored, 3),
            "time/tokens_per_s": round(gathered.tokens / (ended - began), 1),
        }

    def _streams(self, teacher: PreTrainedModel | None) -> list[Stream]:
        """The streams of token rewards that the recipe asks for."""
        streams: list[Stream] = []
        if self.settings.teacher is not None:
            assert teacher is not None, "a recipe with a teacher"
            streams.append(TeacherStream(teacher, self.settings, self.recipe.model.precision))
        if self.settings.implicit_prm is not None:
            streams.append(ImplicitPrmStream(self.models, self.settings, self.total))
        return streams

    def _rollout(self, gathered: Gathered) -> Rollout:
        pad_id = self.context.tokenizer.pad_token_id
        collected, generated = gathered.collected, gathered.collected.generated
        tensors = as_tensors(collected.prompts, generated, pad_id, self.context.device)
        _, mask, _ = tensors
        logged = {"reported": reported(generated, mask)}
        # With a hint, what decoding recorded is not of the policy that is trained: it sees none.
        if self.collector.sampler.records and not self.settings.hints:
            logged = {"recorded": recorded(generated, mask)}
        steps = step_rewards(collected, gathered.scores, self.recipe.reward, self.context.tokenizer)
        baselines = None
        if self.settings.estimator == "role":
            baselines = self.roles.take(collected.samples, gathered.scores)
        return Rollout(
            collected.samples,
            gathered.scores,
            *tensors,
            kept=gathered.kept,
            steps=steps,
            baselines=baselines,
            **logged,
        )

    def _adapt_kl(self, metrics: dict[str, float], responses: int) -> None:
        settings = self.settings
        if settings.kl_target is not None:
            self.kl_coef = adapted_kl_coef(
                self.kl_coef,
                metrics["kl/token"],
                settings.kl_target,
                responses,
                settings.kl_horizon,
            )

    def _record(self, step: int, rollout: Rollout, metrics: dict[str, float]) -> None:
        paths = self.context.paths
        self.context.log({"step": step, "total_steps": self.total, **metrics})
        pairs = zip(rollout.samples, rollout.scores, strict=True)
        append_rows(paths.rollouts, [rollout_row(step, sample, score) for sample, score in pairs])

    def _keep(self, done: int) -> None:
        """Save what is due after so many steps."""
        settings, paths = self.settings, self.context.paths
        if settings.export_every and done % settings.export_every == 0:
            save_model(paths.exported(done), self.models.policy, self.context.tokenizer)

        due = done % settings.save_every == 0 and done < self.total
        if due or self.context.stop.is_set:
            self._save(done)

    def _save(self, step: int) -> None:
        numbers = {
            "kl_coef": self.kl_coef,
            "order": self.gatherer.order.state,
            "baselines": self.roles.means,
        }
        trainer = {**numbers, **self.models.state(), **self.learner.state()}
        for stream in self.streams:
            trainer |= stream.state()
        policy, tokenizer = self.models.policy, self.context.tokenizer
        save_checkpoint(self.context.paths.checkpoint(step), policy, tokenizer, step, trainer)

    def _restore(self) -> int:
        """Load the newest checkpoint; returns the steps done. The reference stays the policy that PPO started from."""
        checkpoint = newest_checkpoint(self.context.paths.checkpoints)
        if checkpoint is None:
            return 0
        self.models.restore(checkpoint.folder, checkpoint.trainer)
        self.learner.restore(checkpoint.trainer)
        for stream in self.streams:
            stream.restore(checkpoint.trainer)
        if self.settings.kl_target is not None:  # a fixed coefficient is the recipe's
            self.kl_coef = checkpoint.trainer["kl_coef"]
        self.gatherer.order.state = checkpoint.trainer["order"]
        self.roles.means = checkpoint.trainer.get("baselines", {})
        print(
            f"ppo: resumed after step {checkpoint.step}: weights, critic, optimisers, schedules, KL coefficient, "
            "data position, random numbers"
        )
        return checkpoint.step
