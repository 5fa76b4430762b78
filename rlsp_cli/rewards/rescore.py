"""Compare the rewards of saved rollouts with those of another recipe."""

import bisect
import statistics
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rlsp_cli.rewards.sample import Sample, SampleScore, is_right

_EXAMPLES = 5
"""Flips that are listed."""


@dataclass(frozen=True)
class Difference:
    """Old and new rewards of the same responses; what cannot be compared is None."""

    responses: int
    compared: int
    now_right: int
    now_wrong: int
    unscored_before: int
    unscored_now: int
    rank_correlation: float | None
    sign_changes: float | None
    reward_before: float | None
    reward_now: float | None
    flips: list[dict[str, Any]]

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def rescore(
    rows: Sequence[Mapping[str, Any]],
    samples: Sequence[Sample],
    score: Callable[[Sequence[Sample], int], list[SampleScore]],
) -> Difference:
    """Compare the rewards in `rows` of rollouts.jsonl with `score(samples, step)`, step by step.

    Ranks and advantages (reward minus the group's mean) are taken within the samples of one prompt
    of a step, or within the step where every prompt has one sample. Rank correlation is Spearman's,
    averaged over groups.
    """
    new = _rescored(rows, samples, score)
    pairs = {i: (row["reward"], new[i].reward) for i, row in enumerate(rows)}

    # Only rewards that both recipes gave: an unscored response has no rank.
    known = {
        i: (old, now) for i, (old, now) in pairs.items() if old is not None and now is not None
    }
    groups = [[known[i] for i in group] for group in _groups(rows, list(known))]
    flips = [_flip(row, samples[i], new[i]) for i, row in enumerate(rows) if _flipped(row, new[i])]

    return Difference(
        responses=len(rows),
        compared=len(known),
        now_right=sum(flip["now"] for flip in flips),
        now_wrong=sum(not flip["now"] for flip in flips),
        unscored_before=sum(old is None for old, _ in pairs.values()),
        unscored_now=sum(now is None for _, now in pairs.values()),
        rank_correlation=_mean([_spearman(group) for group in groups]),
        sign_changes=_sign_changes(groups),
        reward_before=_mean([old for old, _ in known.values()]),
        reward_now=_mean([now for _, now in known.values()]),
        flips=flips[:_EXAMPLES],
    )


def _rescored(
    rows: Sequence[Mapping[str, Any]],
    samples: Sequence[Sample],
    score: Callable[[Sequence[Sample], int], list[SampleScore]],
) -> dict[int, SampleScore]:
    """The new score of each row. A step at a time, since alpha may follow a schedule."""
    steps: dict[int, list[int]] = defaultdict(list)
    for i, row in enumerate(rows):
        steps[row.get("step") or 0].append(i)

    new: dict[int, SampleScore] = {}
    for step, members in steps.items():
        new.update(zip(members, score([samples[i] for i in members], step), strict=True))
    return new


def _groups(rows: Sequence[Mapping[str, Any]], known: Sequence[int]) -> list[list[int]]:
    """Rows to compare with each other: those of a prompt, else those of a step; at least two."""
    by_prompt: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    by_step: dict[Any, list[int]] = defaultdict(list)
    for i in known:
        by_prompt[rows[i].get("step"), rows[i].get("id"), rows[i].get("prompt")].append(i)
        by_step[rows[i].get("step")].append(i)

    several = [group for group in by_prompt.values() if len(group) > 1]
    return several or [group for group in by_step.values() if len(group) > 1]


def _flipped(row: Mapping[str, Any], score: SampleScore) -> bool:
    before, now = row["correctness"]["value"], score.correctness.value
    return before is not None and now is not None and is_right(before) != is_right(now)


def _flip(row: Mapping[str, Any], sample: Sample, score: SampleScore) -> dict[str, Any]:
    return {
        "id": sample.id,
        "step": row.get("step"),
        "now": is_right(score.correctness.value),
        "reference": sample.reference,
        "answer_before": row["correctness"]["answer"],
        "answer_now": score.correctness.answer,
    }


def _spearman(pairs: Sequence[tuple[float, float]]) -> float | None:
    """Spearman's rank correlation; None if one side does not vary."""
    old, new = zip(*pairs, strict=True)
    if len(set(old)) < 2 or len(set(new)) < 2:
        return None
    return statistics.correlation(_ranks(old), _ranks(new))


def _ranks(values: Sequence[float]) -> list[float]:
    """Ranks from 0; equal values share their mean rank."""
    ordered = sorted(values)
    ranks = []
    for value in values:
        first, behind_last = bisect.bisect_left(ordered, value), bisect.bisect_right(ordered, value)
        ranks.append((first + behind_last - 1) / 2)
    return ranks


def _sign_changes(groups: Sequence[Sequence[tuple[float, float]]]) -> float | None:
    """Share of advantages that are positive under one reward and not under the other."""
    changed = []
    for group in groups:
        means = [statistics.fmean(side) for side in zip(*group, strict=True)]
        changed += [(old > means[0]) != (new > means[1]) for old, new in group]

    return statistics.fmean(changed) if changed else None


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None
