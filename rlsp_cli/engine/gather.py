"""One step's responses: sampled, scored and, with `ppo.select`, selected.

Prompts that the selector drops are replaced by the next ones of the data until the rollout is
whole, so that every step learns from equally many prompts.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from statistics import fmean

from rlsp_cli.engine.collector import Collected, Collector
from rlsp_cli.engine.order import Order
from rlsp_cli.errors import RlspError, SafetyError
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.rewards.breaker import refuse_failing
from rlsp_cli.rewards.sample import Sample, SampleScore, is_right
from rlsp_cli.rewards.scorer import Scorer
from rlsp_cli.rewards.selection import Choice, Selector, scored_groups

_MOST_ASKED = 20
"""Prompts to ask for each one that a rollout needs, as in templates/openrlhf/rlsp_prompts.py."""


@dataclass
class Gathered:
    """A step's responses with their scores; `kept` has whether each of them is learned from.

    `dropped` are the prompts that were replaced. `judged` has every response that was sampled,
    those of dropped prompts too. `unaided` has the responses to the same prompts that were given
    without a hint: where there was none, those that are learned from.
    """

    collected: Collected = field(default_factory=lambda: Collected([], [], []))
    scores: list[SampleScore] = field(default_factory=list)
    kept: list[bool] = field(default_factory=list)
    prompts: int = 0
    dropped: list[Choice] = field(default_factory=list)
    judged: list[tuple[Sample, SampleScore]] = field(default_factory=list)
    unaided: list[tuple[Sample, SampleScore]] = field(default_factory=list)
    sampling_s: float = 0.0
    scoring_s: float = 0.0

    @property
    def asked(self) -> int:
        """Prompts that were sampled."""
        return self.prompts + len(self.dropped)

    @property
    def tokens(self) -> int:
        """Response tokens that were sampled."""
        return sum(sample.num_tokens or 0 for sample, _ in self.judged)

    def selection(self) -> dict[str, float]:
        """The metrics of a selector."""
        dropped = [sample for choice in self.dropped for sample in choice.samples]
        known = [sample.correct for sample in dropped if sample.correct is not None]

        found: dict[str, float] = {"filtered": len(dropped), "unused": self.kept.count(False)}
        if known:
            found["filtered_correctness"] = fmean(known)
        return found

    def hints(self) -> dict[str, float]:
        """The metrics of hints."""
        pairs = zip(self.unaided, self.collected.samples, self.scores, strict=True)
        aided = [score for (first, _), sample, score in pairs if first is not sample]
        known = [value for score in aided if (value := score.correctness.value) is not None]

        found: dict[str, float] = {"hinted": len(aided)}
        if known:
            found["hinted_correctness"] = fmean(known)
        return found


class Gatherer:
    """Samples, scores and selects; `order` has the prompts that come next."""

    def __init__(
        self,
        collector: Collector,
        scorer: Scorer,
        selector: Selector | None,
        order: Order,
        recipe: Recipe,
        total_steps: int,
    ) -> None:
        assert recipe.ppo, "a recipe with PPO"
        self.collector, self.scorer, self.selector = collector, scorer, selector
        self.settings, self.reward = recipe.ppo, recipe.reward
        self.order, self.total_steps = order, total_steps

    def gather(self, step: int, alpha: float) -> Gathered:
        """The responses of a step.

        SafetyError when too many cannot be scored or the selector keeps too few prompts,
        PluginError when the selector fails. The order is then that before the step.
        """
        found, before = Gathered(), self.order.state
        try:
            self._fill(found, step, alpha)
        except RlspError:
            self.order.state = before
            raise
        return found

    def _fill(self, found: Gathered, step: int, alpha: float) -> None:
        """Add prompts until the rollout is whole."""
        while missing := self.settings.rollout_batch - found.prompts:
            left = _MOST_ASKED * self.settings.rollout_batch - found.asked
            if not left:
                raise self._too_few(step, found)
            self._add_prompts(found, step, min(missing, left), alpha)

    def _add_prompts(self, found: Gathered, step: int, count: int, alpha: float) -> None:
        """Sample and score further prompts, and add those that the selector keeps."""
        rows = self.order.take(count, step)
        collect = partial(self.collector.collect, step, rows, found.asked)
        drawn, scores = self._scored(found, collect, alpha)
        unaided = list(zip(drawn.samples, scores, strict=True))
        if unsolved := self._unsolved(rows, scores):
            places = {place: rows[place] for place in unsolved}
            self._hint(found, step, places, drawn, scores, alpha)

        size = self.settings.samples_per_prompt
        for number, choice in enumerate(self._choices(step, drawn.samples, scores)):
            if choice.drops_prompt:
                found.dropped.append(choice)
                continue
            place = slice(number * size, (number + 1) * size)
            found.collected.extend(drawn, place)
            found.scores += scores[place]
            found.unaided += unaided[place]
            found.kept += choice.kept
            found.prompts += 1

    def _scored(
        self, found: Gathered, collect: Callable[[], Collected], alpha: float
    ) -> tuple[Collected, list[SampleScore]]:
        """Responses and their scores, counted among all that the step has sampled."""
        began = time.perf_counter()
        drawn = collect()
        sampled = time.perf_counter()
        scores = self.scorer.score(drawn.samples, alpha)
        found.sampling_s += sampled - began
        found.scoring_s += time.perf_counter() - sampled

        # All that was sampled: a selector must not hide that the rewards fail.
        found.judged += zip(drawn.samples, scores, strict=True)
        samples, so_far = zip(*found.judged, strict=True)
        refuse_failing(samples, so_far, self.reward)
        return drawn, scores

    def _unsolved(self, rows: Sequence[int], scores: Sequence[SampleScore]) -> list[int]:
        """The places of problems that no response solves, where there is a hint."""
        size, hinted = self.settings.samples_per_prompt, self.collector.hinted
        return [
            place
            for place, row in enumerate(rows)
            if row in hinted and _all_wrong(scores[place * size : (place + 1) * size])
        ]

    def _hint(
        self,
        found: Gathered,
        step: int,
        unsolved: Mapping[int, int],
        drawn: Collected,
        scores: list[SampleScore],
        alpha: float,
    ) -> None:
        """Put responses with hints in the places of those to unsolved problems, given with their rows."""
        # Random numbers beyond those of any prompt that the step may ask.
        asked = found.asked + _MOST_ASKED * self.settings.rollout_batch
        rows, size = list(unsolved.values()), self.settings.samples_per_prompt
        collect = partial(self.collector.collect_hinted, step, rows, asked)
        again, verdicts = self._scored(found, collect, alpha)

        for number, place in enumerate(unsolved):
            ours, theirs = (slice(n * size, (n + 1) * size) for n in (place, number))
            drawn.put(ours, again, theirs)
            scores[ours] = verdicts[theirs]

    def _choices(
        self, step: int, samples: Sequence[Sample], scores: Sequence[SampleScore]
    ) -> Sequence[Choice]:
        """What the selector keeps of each prompt's responses; all without a selector."""
        groups = scored_groups(samples, scores, self.settings.samples_per_prompt)
        if self.selector is None:
            return [Choice(group, [True] * len(group)) for group in groups]

        # An unscored response teaches nothing, so it must not be what keeps a prompt.
        choices = []
        chosen = self.selector.choose(groups, step, self.total_steps)
        for group, choice in zip(groups, chosen, strict=True):
            pairs = zip(choice.kept, group, strict=True)
            learned = [keeps and sample.reward is not None for keeps, sample in pairs]
            choices.append(Choice(group, learned))
        return choices

    def _too_few(self, step: int, found: Gathered) -> SafetyError:
        assert self.selector is not None, "without a selector every prompt is kept"
        kept = f"ppo.select kept {found.prompts} of {found.asked} prompts"
        needed = f"a rollout takes {self.settings.rollout_batch}"

        last = found.dropped[-1]
        example = f"{self.selector.use.name} dropped {last.samples[0].id!r}: {last.reason}"
        hint = "widen the selector, or take prompts of another difficulty"
        return SafetyError(f"step {step + 1}: {kept}, and {needed}; {example}; {hint}")


def _all_wrong(scores: Sequence[SampleScore]) -> bool:
    """Whether there are verdicts, and none of them says right."""
    verdicts = [score.correctness.value for score in scores]
    known = [verdict for verdict in verdicts if verdict is not None]
    return bool(known) and not any(map(is_right, known))
