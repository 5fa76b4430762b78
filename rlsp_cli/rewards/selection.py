"""Run a selector on the responses to prompts, in worker processes, and say what it dropped."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from rlsp_cli.errors import PluginError
from rlsp_cli.recipe.reward import Reward
from rlsp_cli.recipe.selector_use import SelectorUse
from rlsp_cli.rewards.call import Call, Use
from rlsp_cli.rewards.models import NO_MODELS, Addresses
from rlsp_cli.rewards.pool import Pool
from rlsp_cli.rewards.registry import get_plugin
from rlsp_cli.rewards.sample import Sample, SampleScore, Score, is_right

_QUOTED = 40
"""Characters of a prompt without an id that an error shows."""


@dataclass(frozen=True)
class Choice:
    """The responses to one prompt, and which of them a selector keeps: a bool for each."""

    samples: Sequence[Sample]
    kept: Sequence[bool]

    @property
    def drops_prompt(self) -> bool:
        """Whether no response is kept."""
        return not any(self.kept)

    @cached_property
    def numbers(self) -> dict[str, float | None]:
        """What most selectors look at: counts of responses, and mean and spread of correctness."""
        known = [sample.correct for sample in self.samples if sample.correct is not None]
        return {
            "responses": len(self.samples),
            "kept": sum(self.kept),
            "scored": len(known),
            "right": sum(map(is_right, known)),
            "mean": statistics.fmean(known) if known else None,
            "std": statistics.pstdev(known) if known else None,
        }

    @property
    def reason(self) -> str:
        """These numbers in words."""
        found = self.numbers
        words = f"{found['right']} of {found['responses']} responses right"
        if found["mean"] is None:
            return f"none of {found['responses']} responses scored"
        return f"{words}, mean correctness {found['mean']:.3g}, std {found['std']:.3g}"


class Selector:
    """A selector with its options and its worker processes, which can ask `models`.

    A context manager.
    """

    def __init__(
        self,
        selector: SelectorUse,
        limits: Reward,
        files: Sequence[str] = (),
        models: Addresses = NO_MODELS,
    ) -> None:
        plugin = get_plugin("selector", selector.use, files)
        self.recipe_use = selector
        self.use = Use(
            plugin.kind,
            selector.use,
            selector.options_at(0, 1),
            tuple(files),
            plugin.takes_group,
            plugin.digest,
            selector.timeout_s,
        )
        self.pool = Pool(
            [self.use], limits.workers, limits.timeout_s, limits.memory_gb, models=models
        )

    def choose(
        self, groups: Sequence[Sequence[Sample]], step: int = 0, total_steps: int = 1
    ) -> list[Choice]:
        """What it keeps of each group, the responses to one prompt, with the options of a step.

        PluginError if it fails on a group, or chooses otherwise when it is asked again: training
        could then neither be repeated nor resumed.
        """
        use = replace(self.use, options=self.recipe_use.options_at(step, total_steps))
        calls = [Call(use, tuple(group)) for group in groups]
        scores = self.pool.map([*calls, *calls])
        first, again = scores[: len(groups)], scores[len(groups) :]

        choices = []
        for group, one, other in zip(groups, first, again, strict=True):
            kept, kept_again = self._kept(group, one), self._kept(group, other)
            if kept != kept_again:
                words = f"chose {_words(kept)}, and then {_words(kept_again)}"
                raise self._error(group, f"{words}; seed its random numbers from the prompt")
            choices.append(Choice(group, kept))
        return choices

    def close(self) -> None:
        """End the workers."""
        self.pool.close()

    def __enter__(self) -> "Selector":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _kept(self, group: Sequence[Sample], scores: Sequence[Score]) -> list[bool]:
        failed = next((score for score in scores if score.value is None), None)
        if failed is None:
            return [bool(score.value) for score in scores]

        reason = " ".join(str(failed.reason).split())  # a plugin's message may have several lines
        # Most likely a column of the data, so name those that there are.
        if reason.startswith("KeyError"):
            reason = f"{reason}; the columns of its row: {', '.join(group[0].metadata) or 'none'}"
        raise self._error(group, reason)

    def _error(self, group: Sequence[Sample], reason: str) -> PluginError:
        prompt = group[0].id or group[0].prompt[:_QUOTED]
        return PluginError(f"selector {self.use.name}, prompt {prompt!r}: {reason}")


def scored_groups(
    samples: Sequence[Sample], scores: Sequence[SampleScore], size: int
) -> list[list[Sample]]:
    """Samples with their verdicts and rewards, in groups of `size`: the responses to a prompt."""
    judged = []
    for sample, score in zip(samples, scores, strict=True):
        correct, answer = score.correctness.value, score.correctness.answer
        judged.append(replace(sample, correct=correct, answer=answer, reward=score.reward))
    return [judged[first : first + size] for first in range(0, len(judged), size)]


def with_scores(samples: Sequence[Sample], rows: Sequence[Mapping[str, Any]]) -> list[Sample]:
    """Samples with the verdicts and rewards of their rows of rollouts.jsonl."""
    scored = []
    for sample, row in zip(samples, rows, strict=True):
        verdict = row["correctness"]
        correct, answer = verdict["value"], verdict["answer"]
        scored.append(replace(sample, correct=correct, answer=answer, reward=row["reward"]))
    return scored


def grouped(samples: Sequence[Sample]) -> list[list[Sample]]:
    """Samples of one prompt in one step, together; in the order of the first of each."""
    groups: dict[tuple[int | None, tuple[str, str]], list[Sample]] = {}
    for sample in samples:
        groups.setdefault((sample.step, sample.group), []).append(sample)
    return list(groups.values())


def _words(kept: Sequence[bool]) -> str:
    return "".join("+" if keep else "-" for keep in kept)
