"""Metrics of one bench from its scored responses.

A response that could not be scored (error, timeout, abstention) is neither right nor wrong: it is left out of every
mean and counted apart. A problem without a scored response is left out too.
"""

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from rlsp_cli.evals.interval import bootstrap_mean, wilson
from rlsp_cli.rewards.behaviour import behaviour_counts, repetition
from rlsp_cli.rewards.sample import is_right

Row = dict[str, Any]


def pass_at_k(n: int, correct: int, k: int) -> float:
    """Chance that k of n responses, drawn without replacement, hold a correct one (Chen et al., 2107.03374, Eq. 1)."""
    if n - correct < k:
        return 1.0
    return 1.0 - math.prod((n - correct - i) / (n - i) for i in range(k))


def majority(answers: Sequence[str | None], correct: Sequence[bool]) -> float:
    """Chance that the most frequent answer is correct; ties are drawn, no answer is no vote.

    Answers are told apart by their text without white space.
    """
    votes: dict[str, list[bool]] = defaultdict(list)
    for answer, right in zip(answers, correct, strict=True):
        if answer is not None:
            votes["".join(answer.split())].append(right)
    if not votes:
        return 0.0
    most = max(map(len, votes.values()))
    return statistics.fmean(any(group) for group in votes.values() if len(group) == most)


def summarise(rows: Iterable[Row]) -> dict[str, Any]:
    """Greedy and sampled metrics of one bench; each part is missing when there are no such responses."""
    kinds: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        kinds[row["kind"]].append(row)
    return {kind: _kind_metrics(kind, kinds[kind]) for kind in ("greedy", "sample") if kinds[kind]}


def per_problem(rows: Iterable[Row], kind: str) -> dict[str, float]:
    """Share of correct responses of each problem with a scored one."""
    return {id: statistics.fmean(values) for id, values in _values(rows, kind).items()}


def _kind_metrics(kind: str, rows: Sequence[Row]) -> dict[str, Any]:
    values = _values(rows, kind)
    unscored = [row["correctness"]["outcome"] for row in rows if row["correctness"]["outcome"] != "value"]
    shape = {
        "responses": len(rows),
        "unscored": {outcome: unscored.count(outcome) for outcome in sorted(set(unscored))},
        **response_shape(rows),
    }
    if not values:
        return {"accuracy": None, **shape}
    means = [statistics.fmean(v) for v in values.values()]
    k = max(map(len, values.values()))
    yes_or_no = k == 1 and set(means) <= {0.0, 1.0}
    interval = wilson(round(sum(means)), len(means)) if yes_or_no else bootstrap_mean(means)
    accuracy = {"value": interval.value, "low": interval.low, "high": interval.high}
    return {"accuracy": accuracy, "problems": len(values), "k": k, **_of_k(rows, values, k), **shape}


def _of_k(rows: Sequence[Row], values: dict[str, list[float]], k: int) -> dict[str, Any]:
    """pass@k' for powers of two up to k, and maj@k; only where every problem has k scored responses."""
    if k == 1 or any(len(v) != k for v in values.values()):
        return {}
    sizes = [2**i for i in range(k.bit_length()) if 2**i < k] + [k]
    answers: dict[str, list[str | None]] = defaultdict(list)
    for row in rows:
        if row["correctness"]["outcome"] == "value":
            answers[row["id"]].append(row["correctness"]["answer"])
    chances = {size: [pass_at_k(k, sum(map(is_right, v)), size) for v in values.values()] for size in sizes}
    return {
        "pass_at": {str(size): statistics.fmean(column) for size, column in chances.items()},
        "maj_at_k": statistics.fmean(majority(answers[id], [*map(is_right, v)]) for id, v in values.items()),
    }


def response_shape(rows: Sequence[Row]) -> dict[str, Any]:
    """Length, truncation, answers, repetition and behaviours per response; None for what is not known."""
    tokens = [row["num_tokens"] for row in rows if row["num_tokens"] is not None]
    behaviours = [behaviour_counts(row["response"]) for row in rows]
    return {
        "tokens": statistics.fmean(tokens) if tokens else None,
        "truncated": statistics.fmean(row["truncated"] for row in rows),
        "answered": statistics.fmean(row["correctness"]["answer"] is not None for row in rows),
        "repetition": statistics.fmean(repetition(row["response"]) for row in rows),
        "behaviour": {name: statistics.fmean(b[name] for b in behaviours) for name in behaviours[0]},
    }


def _values(rows: Iterable[Row], kind: str) -> dict[str, list[float]]:
    values: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        if row["kind"] == kind and row["correctness"]["value"] is not None:
            values[row["id"]].append(row["correctness"]["value"])
    return values
