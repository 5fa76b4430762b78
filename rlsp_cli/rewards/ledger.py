"""The metrics of one step of rewards: each component, how it ended, and what it pays for."""

import bisect
import itertools
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import get_args

from rlsp_cli.recipe.reward import Reward
from rlsp_cli.rewards.lexicon import behaviour_counts
from rlsp_cli.rewards.repetition import repetition
from rlsp_cli.rewards.sample import Sample, SampleScore, Score, is_right
from rlsp_cli.rewards.steps import largest_return, share_of_repeats
from rlsp_cli.rewards.turns import TurnsOutcome

_OUTCOMES = ("value", "abstain", "error", "timeout")
_SAME = 1e-9
"""Rewards that differ by less are equal."""


def ledger(
    samples: Sequence[Sample], scores: Sequence[SampleScore], reward: Reward, alpha: float
) -> dict[str, float]:
    """The metrics of one step (docs/metrics.md); a mean over nothing is left out instead of 0."""
    rewards = [score.reward for score in scores if score.reward is not None]
    return {
        "alpha": alpha,
        "reward/mean": statistics.fmean(rewards),
        "reward/std": statistics.pstdev(rewards),
        **_mean("correctness/mean", (score.correctness.value for score in scores)),
        **_exploration(samples, scores, reward, alpha),
        **_ranks(samples, scores),
        **_outcomes(scores),
        **_tokens_of_others(samples, scores),
        **_turns(samples),
        **_shape(samples, scores, reward.lexicon),
    }


def _exploration(
    samples: Sequence[Sample], scores: Sequence[SampleScore], reward: Reward, alpha: float
) -> dict[str, float]:
    """Each exploration reward's mean, share of the mixture, and correlations."""
    found: dict[str, float] = {}
    size = _sizes(scores, reward, alpha)
    for n in range(len(reward.exploration)):
        column = [score.exploration[n].value for score in scores]
        name = f"exploration/{scores[0].exploration[n].component}"
        found |= _mean(f"{name}/mean", column)
        if sum(size):
            found[f"{name}/share"] = size[n + 1] / sum(size)

        # A reward for quality that grows with length alone is a reward for length.
        tokens = [sample.num_tokens for sample in samples]
        correct = [score.correctness.value for score in scores]
        found |= _correlation(f"{name}/corr_tokens", column, tokens)
        found |= _correlation(f"{name}/corr_correct", column, correct)
        found |= _returns(name, samples, [score.exploration[n] for score in scores], reward, n)

    return found


def _returns(
    name: str, samples: Sequence[Sample], parts: Sequence[Score], reward: Reward, n: int
) -> dict[str, float]:
    """Of a sum of step values: the most that it could be, and what repeated steps earn of it."""
    settings = reward.exploration[n].steps
    if settings is None or settings.aggregate != "sum":
        return {}

    scored = [
        (sample.response, part.steps)
        for sample, part in zip(samples, parts, strict=True)
        if part.steps
    ]
    longest = max((len(steps) for _, steps in scored), default=0)
    found = {f"{name}/largest_return": largest_return(settings.refine, longest)}

    share = share_of_repeats(scored)
    return found if share is None else {**found, f"{name}/from_repeats": share}


def _sizes(scores: Sequence[SampleScore], reward: Reward, alpha: float) -> list[float]:
    """How much each component moves the linear mixture: its weight times its standard deviation."""
    weights = [alpha, *((1 - alpha) * use.weight for use in reward.exploration)]
    rows = [[part.value for part in score.components] for score in scores]

    sizes = []
    for weight, column in zip(weights, zip(*rows, strict=True), strict=True):
        known = [value for value in column if value is not None]
        sizes.append(weight * statistics.pstdev(known) if known else 0.0)
    return sizes


def _ranks(samples: Sequence[Sample], scores: Sequence[SampleScore]) -> dict[str, float]:
    """The share of pairs in a group with the wrong answer on top, and of groups without spread.

    A group is the samples of one prompt; where every prompt has one sample, it is the whole step.
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
    whole_step = list(itertools.chain(*groups.values()))
    for group in several or [whole_step]:
        rewards: dict[bool, list[float]] = {True: [], False: []}
        for score in group:
            if score.reward is not None:
                rewards[is_right(score.correctness.value)].append(score.reward)

        # Sorted, each wrong answer finds the right ones below it without looking at every pair.
        right = sorted(rewards[True])
        pairs += len(right) * len(rewards[False])
        inversions += sum(bisect.bisect_left(right, wrong - _SAME) for wrong in rewards[False])

    if pairs:
        found["reward/wrong_over_right"] = inversions / pairs
    return found


def _is_flat(group: Sequence[SampleScore]) -> bool:
    """Whether all rewards of a group are equal, so that every advantage in it is 0."""
    rewards = [score.reward for score in group if score.reward is not None]
    return max(rewards) - min(rewards) < _SAME


def _outcomes(scores: Iterable[SampleScore]) -> dict[str, float]:
    """How many components ended in each way."""
    counts: Counter[str] = Counter(part.outcome for score in scores for part in score.components)
    return {f"outcome/{outcome}": counts[outcome] for outcome in _OUTCOMES}


def _tokens_of_others(samples: Sequence[Sample], scores: Iterable[SampleScore]) -> dict[str, float]:
    """What models that plugins ask have read and written, if there is any."""
    tokens = sum(part.tokens for score in scores for part in score.components)
    tokens += sum(sample.turns.other_tokens for sample in samples if sample.turns)
    return {"tokens/other": tokens} if tokens else {}


def _turns(samples: Sequence[Sample]) -> dict[str, float]:
    """Texts and tokens from elsewhere in a response, and how many responses ended in each way."""
    found = [sample.turns for sample in samples if sample.turns is not None]
    if not found:
        return {}

    ended = Counter(turns.outcome for turns in found)
    return {
        "turns/foreign": statistics.fmean(len(turns.foreign) for turns in found),
        "turns/foreign_tokens": statistics.fmean(turns.foreign_tokens for turns in found),
        **{f"turns/{outcome}": ended[outcome] for outcome in get_args(TurnsOutcome)},
    }


def _shape(
    samples: Sequence[Sample], scores: Sequence[SampleScore], lexicon: str | None
) -> dict[str, float]:
    """Length, truncation, answers, repetition and search behaviours."""
    mean = statistics.fmean
    found = {
        **_mean("response/tokens", (sample.num_tokens for sample in samples)),
        "response/truncated": mean(sample.truncated for sample in samples),
        "response/answered": mean(score.correctness.answer is not None for score in scores),
        "response/repetition": mean(repetition(sample.response) for sample in samples),
        "response/unique_4grams": _unique_ngrams([sample.response for sample in samples]),
    }

    behaviours = [behaviour_counts(sample.response, lexicon) for sample in samples]
    for name in behaviours[0]:
        found[f"behaviour/{name}"] = mean(counts[name] for counts in behaviours)
    return found


def _unique_ngrams(texts: Iterable[str], n: int = 4) -> float:
    """Share of distinct n-grams of words over all texts, 0 to 1: low when responses are alike."""
    grams = []
    for text in texts:
        words = text.split()
        grams += [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]

    return len(set(grams)) / len(grams) if grams else 1.0


def _mean(name: str, column: Iterable[float | None]) -> dict[str, float]:
    known = [value for value in column if value is not None]
    return {name: statistics.fmean(known)} if known else {}


def _correlation(
    name: str, xs: Sequence[float | None], ys: Sequence[float | None]
) -> dict[str, float]:
    """Pearson's correlation over samples that have both values; nothing if one does not vary."""
    pairs = [(x, y) for x, y in zip(xs, ys, strict=True) if x is not None and y is not None]
    if len(pairs) < 2:
        return {}

    columns = [list(column) for column in zip(*pairs, strict=True)]
    if any(max(column) - min(column) < _SAME for column in columns):
        return {}
    return {name: statistics.correlation(*columns)}
