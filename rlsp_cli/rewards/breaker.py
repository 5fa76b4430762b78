"""When failing rewards stop a run, the same on every backend."""

from collections.abc import Iterable, Sequence

from rlsp_cli.errors import SafetyError
from rlsp_cli.recipe.schema import Reward
from rlsp_cli.rewards.sample import Sample, SampleScore, Score

_NAMED = 10
"""Samples that the message names."""


def refuse_failing(
    samples: Sequence[Sample], scores: Sequence[SampleScore], reward: Reward
) -> None:
    """SafetyError when a component ended as its recipe says `stop`, or too many responses failed.

    A response failed when a component broke (error, timeout), penalised or not, or when it has no
    reward.
    """
    refuse_stopped(samples, scores, reward)
    failed = [score.reward is None or _broke(score) for score in scores]
    if sum(failed) > reward.failure_limit * len(scores) or all(
        score.reward is None for score in scores
    ):
        raise _failing(samples, scores, failed, reward)


def refuse_broken(samples: Sequence[Sample], scores: Sequence[SampleScore], reward: Reward) -> None:
    """SafetyError when a component broke on too many responses; one that has nothing to say of them is whole."""
    failed = [_broke(score) for score in scores]
    if sum(failed) > reward.failure_limit * len(scores):
        raise _failing(samples, scores, failed, reward)


def refuse_stopped(
    samples: Sequence[Sample], scores: Sequence[SampleScore], reward: Reward
) -> None:
    """SafetyError when a component ended as its recipe says `stop`."""
    told = [
        (sample, part)
        for sample, part, policy in _ended(samples, scores, reward)
        if policy == "stop"
    ]
    if told:
        raise SafetyError(
            f"{_where(samples)}a reward ended as the recipe says `stop`:{_named(told)}"
        )


def _ended(
    samples: Sequence[Sample], scores: Sequence[SampleScore], reward: Reward
) -> Iterable[tuple[Sample, Score, object]]:
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
    return SafetyError(
        f"{_where(samples)}{sum(failed)} of {len(scores)} responses failed to be scored (reward.failure_limit "
        f"{reward.failure_limit}); the worst:{named}"
    )


def _where(samples: Sequence[Sample]) -> str:
    """The rollout step, in training, counted from 1."""
    return "" if samples[-1].step is None else f"step {samples[-1].step + 1}: "


def _worst(score: SampleScore) -> Score:
    """The component that failed, the slowest when there are several."""
    return max(score.components, key=lambda part: (part.failed, part.outcome != "value", part.ms))


def _named(failed: Sequence[tuple[Sample, Score]]) -> str:
    worst = sorted(failed, key=lambda pair: (pair[1].failed, pair[1].ms), reverse=True)[:_NAMED]
    lines = [
        f"  {sample.id or '(no id)'}: {part.component} {part.outcome}, {part.ms:.0f} ms: {part.reason or 'no reason'}"
        for sample, part in worst
    ]
    return "\n" + "\n".join(lines)
