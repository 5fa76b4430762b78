"""Metrics of one bench from its scored responses.

A response that could not be scored (error, timeout, abstention) is neither right nor wrong: it is left out of every
mean and counted apart. A problem without a scored response is left out too. Every problem weighs the same, however many
responses it has.
"""

import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from rlsp_cli.evals.metrics.calibration import calibration
from rlsp_cli.evals.metrics.checks import check_levels
from rlsp_cli.evals.metrics.scores import score_of
from rlsp_cli.evals.metrics.tokens import token_metrics
from rlsp_cli.evals.metrics.vote import Ask, Row, ballots, maj_at_k
from rlsp_cli.evals.statistics import Interval, detectable, mean_share, paired
from rlsp_cli.rewards.behaviour import behaviour_counts, repetition
from rlsp_cli.rewards.sample import is_right


def pass_at_k(n: int, correct: int, k: int) -> float:
    """Chance that k of n responses, drawn without replacement, hold a correct one (Chen et al., 2107.03374, Eq. 1).

    ValueError when there are fewer than k responses.
    """
    if not 0 < k <= n:
        raise ValueError(f"pass@{k} of {n} responses: so many cannot be drawn")
    if n - correct < k:
        return 1.0
    return 1.0 - math.prod((n - correct - i) / (n - i) for i in range(k))


def best_of_k(scored: Sequence[tuple[float, bool]], k: int) -> float:
    """Chance that the response with the highest score of k is correct, drawn without replacement from (score, correct).

    Responses with equal scores are drawn by lot.
    """
    chance, higher, n = 0.0, 0, len(scored)
    for score in sorted({score for score, _ in scored}, reverse=True):
        rights = [right for other, right in scored if other == score]
        top = math.comb(n - higher, k) - math.comb(n - higher - len(rights), k)
        chance += top / math.comb(n, k) * statistics.fmean(rights)
        higher += len(rights)
    return chance


def summarise(rows: Iterable[Row], ask: Ask | None = None, ks: Sequence[int] = ()) -> dict[str, Any]:
    """Greedy and sampled metrics of one bench; each part is missing when there are no such responses.

    `ask` tells which wrong answers are the same (by text without it); `ks` are the k of pass@k and maj@k, powers of two
    when not given.
    """
    kinds: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        kinds[row["kind"]].append(row)
    parts = {kind: _kind_metrics(kinds[kind], ask, ks) for kind in ("greedy", "sample") if kinds[kind]}
    beside = _greedy_beside_sampled(kinds) if len(parts) > 1 else None
    return {**parts, "greedy_over_sampled": beside} if beside else parts


def problem_scores(rows: Iterable[Row], kind: str) -> dict[str, list[float]]:
    """Scores of each problem with a scored response."""
    values: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        if row["kind"] == kind and row["correctness"]["value"] is not None:
            values[row["id"]].append(row["correctness"]["value"])
    return values


def per_problem(rows: Iterable[Row], kind: str) -> dict[str, float]:
    """Share of correct responses of each problem with a scored one."""
    return {id: statistics.fmean(values) for id, values in problem_scores(rows, kind).items()}


def _greedy_beside_sampled(kinds: Mapping[str, Sequence[Row]]) -> dict[str, float] | None:
    """Accuracy of greedy decoding less that of sampling, on the problems that both have scored responses to."""
    greedy, sampled = (per_problem(kinds[kind], kind) for kind in ("greedy", "sample"))
    shared = [id for id in greedy if id in sampled]
    if not shared:
        return None
    moved = paired([greedy[id] - sampled[id] for id in shared])
    return {"difference": moved.value, "low": moved.low, "high": moved.high, "problems": len(shared)}


def _kind_metrics(rows: Sequence[Row], ask: Ask | None, ks: Sequence[int]) -> dict[str, Any]:
    values = problem_scores(rows, rows[0]["kind"])
    unscored = [row["correctness"]["outcome"] for row in rows if row["correctness"]["outcome"] != "value"]
    shape = {
        "responses": len(rows),
        "unscored": {outcome: unscored.count(outcome) for outcome in sorted(set(unscored))},
        "accuracy_if_unscored_wrong": _at_least(rows) if unscored else None,
        "rates": _rates(rows),
        **response_shape(rows),
        **token_metrics(rows),
        "calibration": calibration(rows),
        **({"checks": levels} if (levels := check_levels(rows)) else {}),
    }
    if not values:
        return {"accuracy": None, **shape}
    counts = [len(v) for v in values.values()]
    accuracy = mean_share([statistics.fmean(v) for v in values.values()])._asdict()
    k, least = max(counts), min(counts)
    shown = {"accuracy": accuracy, "problems": len(values), "k": k, "k_least": least, "detectable": detectable(values)}
    if k == 1:
        return {**shown, **shape}
    return {**shown, "k_missing": _missing(values, ks), **_of_k(rows, values, _sizes(least, ks), ask), **shape}


def _at_least(rows: Sequence[Row]) -> float:
    """Mean share of right responses where those that could not be scored count as wrong: avg@k is not below it."""
    shares: dict[str, list[bool]] = defaultdict(list)
    for row in rows:
        shares[row["id"]].append(row["correctness"]["value"] is not None and is_right(row["correctness"]["value"]))
    return statistics.fmean(statistics.fmean(share) for share in shares.values())


def _sizes(responses: int, ks: Sequence[int]) -> list[int]:
    """The k that so many responses are enough for: of those asked for, or powers of two and all."""
    wanted = ks or [*(2**i for i in range(responses.bit_length())), responses]
    return sorted({k for k in wanted if k <= responses})


def _missing(values: Mapping[str, Sequence[float]], ks: Sequence[int]) -> dict[str, Any] | None:
    """The k that some problems have too few scored responses for: how many, and the one that has fewest."""
    counts = {id: len(several) for id, several in values.items()}
    first = min(counts, key=lambda id: counts[id])
    most, least = max(counts.values()), counts[first]
    missing = sorted({*_sizes(most, ks), *ks} - {*_sizes(least, ks)})
    if not missing:
        return None
    short = sum(count < missing[0] for count in counts.values())
    return {"k": missing, "problems": short, "first": first, "responses": least}


def _of_k(
    rows: Sequence[Row], values: Mapping[str, Sequence[float]], sizes: Sequence[int], ask: Ask | None
) -> dict[str, Any]:
    """pass@k, maj@k and best-of-k by each scorer, with intervals."""
    shares = [(len(v), sum(map(is_right, v))) for v in values.values()]
    found: dict[str, Any] = _curve("pass", sizes, lambda k: [pass_at_k(n, right, k) for n, right in shares])
    extracted = any(row["correctness"]["answer"] for row in rows)
    if extracted or not any(right for _, right in shares):  # some verifiers extract none: there is nothing to vote on
        votes = ballots(rows, ask)
        found |= _curve("maj", sizes, lambda k: [maj_at_k(ballot, k) for ballot in votes.values()])
        found["maj_at_k"] = found["maj_at"][str(sizes[-1])] if sizes else None
    best = {name: _curve("best", sizes, partial(_best_of, column)) for name, column in _scores(rows).items()}
    return {**found, "best_of": best} if best else found


def _curve(name: str, sizes: Sequence[int], column: Callable[[int], list[float]]) -> dict[str, dict[str, Any]]:
    """`<name>_at` and `<name>_ci`: for each k the mean over problems of what `column` gives, and its interval."""
    intervals: dict[str, Interval] = {str(k): mean_share(column(k)) for k in sizes}
    return {
        f"{name}_at": {k: interval.value for k, interval in intervals.items()},
        f"{name}_ci": {k: [interval.low, interval.high] for k, interval in intervals.items()},
    }


def _best_of(column: Sequence[Sequence[tuple[float, bool]]], k: int) -> list[float]:
    return [best_of_k(scored, k) for scored in column]


def _scores(rows: Sequence[Row]) -> dict[str, list[list[tuple[float, bool]]]]:
    """Scorer -> problem -> (score, correct) of its scored responses; only scorers that scored them all."""
    scored = [row for row in rows if row["correctness"]["value"] is not None]
    names = {name for row in scored for name in row.get("scores") or {}}
    columns: dict[str, dict[str, list[tuple[float, bool]]]] = {}
    for name in sorted(names):
        values = [(row, value) for row in scored if (value := score_of(row, name)) is not None]
        if len(values) == len(scored):
            columns[name] = defaultdict(list)
            for row, value in values:
                columns[name][row["id"]].append((value, is_right(row["correctness"]["value"])))
    return {name: list(column.values()) for name, column in columns.items()}


def _rates(rows: Sequence[Row]) -> dict[str, float]:
    """Shares of all responses: cut off, scored without an answer in them, and not scored, by why."""
    outcomes = [row["correctness"]["outcome"] for row in rows]
    silent = [row["correctness"]["outcome"] == "value" and row["correctness"]["answer"] is None for row in rows]
    return {
        "truncated": statistics.fmean(row["truncated"] for row in rows),
        "unanswered": statistics.fmean(silent),
        **{outcome: outcomes.count(outcome) / len(rows) for outcome in ("abstain", "timeout", "error")},
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
