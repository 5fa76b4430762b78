"""What one step of rewards tells the reader: components apart, how they end, and what they pay for."""

import bisect
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from rlsp_cli.recipe.schema import Reward
from rlsp_cli.rewards.lexicon import behaviour_counts
from rlsp_cli.rewards.repetition import repetition
from rlsp_cli.rewards.sample import Sample, SampleScore, is_right

_OUTCOMES = ("value", "abstain", "error", "timeout")
_SAME = 1e-9
"""Rewards that differ by less are equal."""


def ledger(
    samples: Sequence[Sample], scores: Sequence[SampleScore], reward: Reward, alpha: float
) -> dict[str, float]:
    """The metrics of one step, as docs/metrics.md names them; a mean over nothing is left out, not called 0."""
    rewards = [score.reward for score in scores if score.reward is not None]
    return {
        "alpha": alpha,
        "reward/mean": statistics.fmean(rewards),
        "reward/std": statistics.pstdev(rewards),
        **_mean("correctness/mean", (score.correctness.value for score in scores)),
        **_exploration(samples, scores, reward, alpha),
        **_ranks(samples, scores),
        **_outcomes(scores),
        **_shape(samples, scores, reward.lexicon),
    }


def _exploration(
    samples: Sequence[Sample], scores: Sequence[SampleScore], reward: Reward, alpha: float
) -> dict[str, float]:
    """Mean of each exploration reward, its share of the mixture's size, and what it goes along with."""
    found: dict[str, float] = {}
    size = _sizes(scores, reward, alpha)
    for n in range(len(reward.exploration)):
        column = [score.exploration[n].value for score in scores]
        name = f"exploration/{scores[0].exploration[n].component}"
        found |= _mean(f"{name}/mean", column)
        if sum(size):
            found[f"{name}/share"] = size[n + 1] / sum(size)
        found |= _correlation(
            f"{name}/corr_tokens", column, [sample.num_tokens for sample in samples]
        )
        found |= _correlation(
            f"{name}/corr_correct", column, [score.correctness.value for score in scores]
        )
    return found


def _sizes(scores: Sequence[SampleScore], reward: Reward, alpha: float) -> list[float]:
    """How much correctness and each exploration reward move the linear mixture: weight times standard deviation."""
    weights = [alpha, *((1 - alpha) * use.weight for use in reward.exploration)]
    columns = zip(
        *(
            (score.correctness.value, *(part.value for part in score.exploration))
            for score in scores
        ),
        strict=True,
    )
    known = [[value for value in column if value is not None] for column in columns]
    return [
        weight * statistics.pstdev(c) if c else 0.0
        for weight, c in zip(weights, known, strict=True)
    ]


def _ranks(samples: Sequence[Sample], scores: Sequence[SampleScore]) -> dict[str, float]:
    """How often a wrong answer outranks a right one of its group, and how many groups have nothing to learn from.

    Groups are the samples of one prompt; where every prompt has one, the whole step is the group.
    """
    groups: dict[tuple[str, str], list[SampleScore]] = defaultdict(list)
    for sample, score in zip(samples, scores, strict=True):
        if score.reward is not None:
            groups[sample.group].append(score)
    found = {}
    several = [group for group in groups.values() if len(group) > 1]
    if several:
        found["reward/flat_groups"] = statistics.fmean(_is_flat(group) for group in several)
    inversions = pairs = 0
    everyone = [score for group in groups.values() for score in group]
    for group in several or [everyone]:
        right = sorted(
            s.reward for s in group if s.reward is not None and is_right(s.correctness.value)
        )
        wrong = [
            s.reward for s in group if s.reward is not None and not is_right(s.correctness.value)
        ]
        pairs += len(right) * len(wrong)
        inversions += sum(bisect.bisect_left(right, value - _SAME) for value in wrong)
    return {**found, "reward/wrong_over_right": inversions / pairs} if pairs else found


def _is_flat(group: Sequence[SampleScore]) -> bool:
    rewards = [score.reward for score in group if score.reward is not None]
    return max(rewards) - min(rewards) < _SAME


def _outcomes(scores: Iterable[SampleScore]) -> dict[str, float]:
    """How many components ended in each way."""
    counts: Counter[str] = Counter(part.outcome for score in scores for part in score.components)
    return {f"outcome/{outcome}": counts[outcome] for outcome in _OUTCOMES}


def _shape(
    samples: Sequence[Sample], scores: Sequence[SampleScore], lexicon: str | None
) -> dict[str, float]:
    """Length, truncation, answers, repetition and search behaviours."""
    behaviours = [behaviour_counts(sample.response, lexicon) for sample in samples]
    return {
        **_mean("response/tokens", (sample.num_tokens for sample in samples)),
        "response/truncated": statistics.fmean(sample.truncated for sample in samples),
        "response/answered": statistics.fmean(
            score.correctness.answer is not None for score in scores
        ),
        "response/repetition": statistics.fmean(repetition(sample.response) for sample in samples),
        "response/unique_4grams": _unique_ngrams([sample.response for sample in samples]),
        **{
            f"behaviour/{name}": statistics.fmean(b[name] for b in behaviours)
            for name in behaviours[0]
        },
    }


def _unique_ngrams(texts: Iterable[str], n: int = 4) -> float:
    """Share of the n-grams of words of all texts together that differ, 0 to 1: it falls when responses grow alike."""
    grams = [
        tuple(words[i : i + n])
        for text in texts
        for words in [text.split()]
        for i in range(len(words) - n + 1)
    ]
    return len(set(grams)) / len(grams) if grams else 1.0


def _mean(name: str, column: Iterable[float | None]) -> dict[str, float]:
    known = [value for value in column if value is not None]
    return {name: statistics.fmean(known)} if known else {}


def _correlation(
    name: str, xs: Sequence[float | None], ys: Sequence[float | None]
) -> dict[str, float]:
    """Pearson's, over the samples that have both; none when one of them does not vary."""
    pairs = [(x, y) for x, y in zip(xs, ys, strict=True) if x is not None and y is not None]
    if len(pairs) < 2 or any(
        max(column) - min(column) < _SAME for column in zip(*pairs, strict=True)
    ):
        return {}
    return {name: statistics.correlation(*map(list, zip(*pairs, strict=True)))}
