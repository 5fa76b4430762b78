"""The held-out curve: `data.heldout` answered and judged now and then while PPO trains."""

from collections.abc import Collection
from statistics import fmean

from rlsp_cli.data import Problem
from rlsp_cli.engine.actor_critic import ActorCritic
from rlsp_cli.engine.collector import as_samples, respond, unanswered
from rlsp_cli.engine.decode import Sampling
from rlsp_cli.engine.dialogue import Dialogue
from rlsp_cli.engine.draw import row_seeds
from rlsp_cli.engine.model import refuse_overflow
from rlsp_cli.engine.prompt import encode_prompts, prompt_text
from rlsp_cli.engine.stage import Context
from rlsp_cli.evals.heldout_curve import curve_sampling
from rlsp_cli.recipe.ppo import Ppo
from rlsp_cli.rewards.sample import Sample
from rlsp_cli.rewards.scorer import Scorer


class HeldoutCurve:
    """Answers held-out problems with the policy as it is, from random numbers of its own.

    They are the same at each point of the curve, so that two points differ by the weights alone.
    """

    def __init__(
        self,
        context: Context,
        settings: Ppo,
        problems: Collection[Problem],
        models: ActorCritic,
        scorer: Scorer,
        dialogue: Dialogue | None = None,
    ) -> None:
        self.context, self.settings, self.models, self.scorer = context, settings, models, scorer
        self.dialogue = dialogue
        self.drawn = curve_sampling(context.recipe, settings)
        self.problems = [problem for problem in problems for _ in range(self.drawn.samples)]

        data, tokenizer = context.recipe.data, context.tokenizer
        self.texts = [prompt_text(one.problem, data, tokenizer) for one in self.problems]
        self.prompts = encode_prompts(self.texts, tokenizer)
        if self.prompts:
            refuse_overflow(context.model, self.prompts, self.drawn.max_new_tokens)

    def point(self, done: int) -> dict[str, float]:
        """The metrics `heldout/*` after so many steps; none between two points."""
        every = self.settings.eval_every
        if every is None or done % every:
            return {}

        samples = self._answer(done - 1)
        # Without a verdict a response counts as wrong, as in OpenRLHF's evaluation.
        verdicts = [score.value or 0.0 for score in self.scorer.verify(samples)]
        return {
            "heldout/correctness": fmean(verdicts),
            "heldout/tokens": fmean(sample.num_tokens or 0 for sample in samples),
            "heldout/truncated": fmean(bool(sample.truncated) for sample in samples),
        }

    def _answer(self, step: int) -> list[Sample]:
        tokenizer, limit = self.context.tokenizer, self.drawn.max_new_tokens
        sampling = Sampling(limit, self.drawn.temperature)
        seeds = row_seeds(self.context.recipe.seed, "heldout", 0, len(self.prompts))
        at_once = self.settings.decode_batch
        asking = unanswered(self.problems, self.texts, limit, step)
        generated = respond(
            self.models, tokenizer, self.prompts, sampling, seeds, at_once, self.dialogue, asking
        )
        return as_samples(self.problems, self.texts, generated, tokenizer, limit, step)
