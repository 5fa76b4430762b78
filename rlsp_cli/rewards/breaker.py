"""Stop a run whose rewards fail, by the same rule on every backend."""

from collections.abc import Iterable, Sequence

from rlsp_cli.errors import SafetyError
from rlsp_cli.recipe.reward import Reward
from rlsp_cli.rewards.sample import Sample, SampleScore, Score

_NAMED = 10
"""Samples that the message lists."""


def refuse_failing(
    samples: Sequence[Sample], scores: Sequence[SampleScore], reward: Reward
) -> None:
    """SafetyError when a component ended in a way that is to `stop` the run, or too many failed.

    A response failed when a component broke (error, timeout), penalised or not, or when it has no
    reward.
    """
    refuse_stopped(samples, scores, reward)
    failed = [score.reward is None or _broke(score) for score in scores]

    # Without a single reward there is no step, whatever the limit.
    nothing_scored = all(score.reward is None for score in scores)
    if nothing_scored or sum(failed) > reward.failure_limit * len(scores):
        raise _failing(samples, scores, failed, reward)


def refuse_broken(samples: Sequence[Sample], scores: Sequence[SampleScore], reward: Reward) -> None:
    """SafetyError when a component broke on too many responses; an abstention is no failure."""
    failed = [_broke(score) for score in scores]
    if sum(failed) > reward.failure_limit * len(scores):
        raise _failing(samples, scores, failed, reward)


def refuse_stopped(
    samples: Sequence[Sample], scores: Sequence[SampleScore], reward: Reward
) -> None:
    """SafetyError when a component ended in a way for which the recipe says `stop`."""
    ended = _ended(samples, scores, reward)
    stopping = [(sample, part) for sample, part, policy in ended if policy == "stop"]
    if stopping:
        words = f"{_where(samples)}a reward ended as the recipe says `stop`"
        raise SafetyError(f"{words}:{_named(stopping)}")


def _ended(
    samples: Sequence[Sample], scores: Sequence[SampleScore], reward: Reward
) -> Iterable[tuple[Sample, Score, object]]:
    """Components without a value, each with its sample and the recipe's policy for it."""
    uses = (reward.correctness, *reward.exploration)
    for sample, score in zip(samples, scores, strict=True):
        for part, use in zip(score.components, uses, strict=True):
            if part.outcome != "value":
                yield sample, part, use.policy(part.outcome)


def _broke(score: SampleScore) -> bool:
    return any(part.failed for part in score.components)


def _failing(
    samples: Sequence[Sample], scores: Sequence[SampleScore], failed: Sequence[bool], reward: Reward
) -> SafetyError:
    rows = zip(samples, scores, failed, strict=True)
    named = _named([(sample, _worst(score)) for sample, score, is_failed in rows if is_failed])
    limit = f"(reward.failure_limit {reward.failure_limit})"
    words = f"{sum(failed)} of {len(scores)} responses failed to be scored {limit}"
    return SafetyError(f"{_where(samples)}{words}; the worst:{named}")


def _where(samples: Sequence[Sample]) -> str:
    """The rollout step, in training, counted from 1."""
    return "" if samples[-1].step is None else f"step {samples[-1].step + 1}: "


def _worst(score: SampleScore) -> Score:
    """The component that failed, the slowest when there are several."""
    return max(score.components, key=lambda part: (part.failed, part.outcome != "value", part.ms))


def _named(failed: Sequence[tuple[Sample, Score]]) -> str:
    """The worst failures, a line each: broken ones first, then the slowest."""
    worst = sorted(failed, key=lambda pair: (pair[1].failed, pair[1].ms), reverse=True)[:_NAMED]

    lines = []
    for sample, part in worst:
        ended = f"{part.component} {part.outcome}, {part.ms:.0f} ms"
        lines.append(f"  {sample.id or '(no id)'}: {ended}: {part.reason or 'no reason'}")
    return "\n" + "\n".join(lines)
