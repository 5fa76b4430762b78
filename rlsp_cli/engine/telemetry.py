"""What a rollout tells the reader: rewards apart, outcomes counted, the shape of the responses."""

import statistics
from collections import Counter
from collections.abc import Iterable
from typing import Any

from rlsp_cli.engine.rollout import Rollout
from rlsp_cli.evals.behaviour import behaviour_counts, repetition
from rlsp_cli.rewards.sample import SampleScore, Score

_OUTCOMES = ("value", "abstain", "error", "timeout")


def reward_metrics(rollout: Rollout) -> dict[str, float]:
    """Means over the rollout; a mean over nothing is left out, so that it cannot be read as 0."""
    scores, samples = rollout.scores, rollout.samples
    rewards = [score.reward for score in scores if score.reward is not None]
    behaviours = [behaviour_counts(sample.response) for sample in samples]
    return {
        "reward/mean": statistics.fmean(rewards),
        "reward/std": statistics.pstdev(rewards),
        **_mean("correctness/mean", (score.correctness.value for score in scores)),
        **_exploration(scores),
        **_outcomes(scores),
        "response/tokens": statistics.fmean(sample.num_tokens for sample in samples),
        "response/truncated": statistics.fmean(sample.truncated for sample in samples),
        "response/answered": statistics.fmean(score.correctness.answer is not None for score in scores),
        "response/repetition": statistics.fmean(repetition(sample.response) for sample in samples),
        **{f"behaviour/{name}": statistics.fmean(b[name] for b in behaviours) for name in behaviours[0]},
    }


def rollout_rows(step: int, rollout: Rollout) -> list[dict[str, Any]]:
    """One row per response, for rollouts.jsonl."""
    return [
        {
            "step": step,
            "id": sample.id,
            "prompt": sample.prompt,
            "response": sample.response,
            "reference": sample.reference,
            "num_tokens": sample.num_tokens,
            "truncated": sample.truncated,
            "correctness": _component(score.correctness),
            "exploration": [_component(part) for part in score.exploration],
            "reward": score.reward,
        }
        for sample, score in zip(rollout.samples, rollout.scores, strict=True)
    ]


def _exploration(scores: Iterable[SampleScore]) -> dict[str, float]:
    values: dict[str, list[float | None]] = {}
    for score in scores:
        for part in score.exploration:
            values.setdefault(part.component, []).append(part.value)
    means: dict[str, float] = {}
    for name, column in values.items():
        means |= _mean(f"exploration/{name}/mean", column)
    return means


def _outcomes(scores: Iterable[SampleScore]) -> dict[str, float]:
    """How many components ended in each way."""
    counts: Counter[str] = Counter(part.outcome for score in scores for part in (score.correctness, *score.exploration))
    return {f"outcome/{outcome}": counts[outcome] for outcome in _OUTCOMES}


def _mean(name: str, column: Iterable[float | None]) -> dict[str, float]:
    known = [value for value in column if value is not None]
    return {name: statistics.fmean(known)} if known else {}


def _component(score: Score) -> dict[str, Any]:
    return {
        "component": score.component,
        "outcome": score.outcome,
        "value": score.value,
        "answer": score.answer,
        "reason": score.reason,
    }
