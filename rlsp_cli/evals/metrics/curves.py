"""Chances of a right answer from k responses: pass@k, maj@k and best-of-k."""

import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from rlsp_cli.evals.answer import Scored, clusters_of
from rlsp_cli.evals.metrics.vote import SameAnswer, ballots, maj_at_k
from rlsp_cli.evals.statistics import Clusters, Estimate, cluster_means, mean_share
from rlsp_cli.rewards.sample import is_right

Curve = Mapping[int, Estimate]
"""From k, in rising order, to the mean over problems."""

Value = TypeVar("Value")


@dataclass(frozen=True)
class MissingK:
    """The `k` for which some problems have too few scored responses.

    `problems` is how many, `first` the one with fewest, and `responses` how many it has.
    """

    k: tuple[int, ...]
    problems: int
    first: str
    responses: int


def pass_at_k(n: int, correct: int, k: int) -> float:
    """The unbiased estimator of pass@k from n responses (Chen et al., 2107.03374, Eq. 1).

    It is 1 - C(n - correct, k) / C(n, k), the chance that k of the n responses, drawn without
    replacement, hold a correct one. ValueError when there are fewer than k responses.
    """
    if not 0 < k <= n:
        raise ValueError(f"pass@{k} of {n} responses: k must be from 1 to the number of responses")
    if n - correct < k:
        return 1.0

    # A product of ratios, as in the paper's own code, stays within a float for any n.
    return 1.0 - math.prod((n - correct - i) / (n - i) for i in range(k))


def best_of_k(scored: Sequence[tuple[float, bool]], k: int) -> float:
    """Chance that the response with the highest score among k is correct.

    The k are drawn without replacement from pairs of (score, correct); ties are broken uniformly at
    random. This is exact, where the mean over random draws would add noise of its own.
    """
    chance, higher, n = 0.0, 0, len(scored)
    for score in sorted({score for score, _ in scored}, reverse=True):
        # A draw has this score as its best if it avoids all higher ones, and not these too.
        rights = [right for other, right in scored if other == score]
        draws_with_this_best = math.comb(n - higher, k) - math.comb(n - higher - len(rights), k)
        chance += draws_with_this_best / math.comb(n, k) * statistics.fmean(rights)
        higher += len(rights)

    return chance


def pass_curve(
    values: Mapping[str, Sequence[float]], sizes: Sequence[int], clusters: Clusters
) -> Curve:
    """pass@k from the scores of each problem's responses."""
    counts = {id: (len(scores), sum(map(is_right, scores))) for id, scores in values.items()}
    return _curve(counts, sizes, clusters, lambda count, k: pass_at_k(*count, k))


def maj_curve(rows: Sequence[Scored], sizes: Sequence[int], same: SameAnswer | None) -> Curve:
    """maj@k; empty if the verifier extracts no answers to vote on.

    Wrong answers are compared by `same`, or as text without it.
    """
    # No answers and no right responses either is a model that fails, whose maj@k is 0.
    extracts = any(row.extracted for row in rows)
    if not extracts and any(row.right for row in rows):
        return {}

    return _curve(ballots(rows, same), sizes, clusters_of(rows), maj_at_k)


def best_curves(rows: Sequence[Scored], sizes: Sequence[int]) -> dict[str, Curve]:
    """best-of-k by each scorer that scored all of these responses."""
    scored = [row for row in rows if row.value is not None]
    names: set[str] = set()
    for row in scored:
        names.update(row.scores)

    curves = {}
    for name in sorted(names):
        problems = _scored_by(name, scored)
        if problems:
            curves[name] = _curve(problems, sizes, clusters_of(rows), best_of_k)
    return curves


def curve_sizes(responses: int, ks: Sequence[int]) -> list[int]:
    """The k that a curve of this many responses can have.

    They are those of `ks`, if there are some, else powers of two and all responses.
    """
    powers = [2**i for i in range(responses.bit_length())]
    return sorted({k for k in ks or [*powers, responses] if k <= responses})


def missing_k(values: Mapping[str, Sequence[float]], ks: Sequence[int]) -> MissingK | None:
    """None if every problem has enough scored responses."""
    counts = {id: len(scores) for id, scores in values.items()}

    # A curve ends at the k of the problem with fewest responses: with fewer problems from there on,
    # its points would not compare.
    first = min(counts, key=lambda id: counts[id])
    most, least = max(counts.values()), counts[first]

    missing = sorted({*curve_sizes(most, ks), *ks} - {*curve_sizes(least, ks)})
    if not missing:
        return None

    short = sum(count < missing[0] for count in counts.values())
    return MissingK(tuple(missing), short, first, least)


def _curve(
    problems: Mapping[str, Value],
    sizes: Sequence[int],
    clusters: Clusters,
    chance: Callable[[Value, int], float],
) -> Curve:
    """The mean over problems of `chance(problem, k)`, at each k."""
    curve = {}
    for k in sizes:
        chances = {id: chance(problem, k) for id, problem in problems.items()}
        curve[k] = mean_share(cluster_means(chances, clusters))
    return curve


def _scored_by(name: str, rows: Sequence[Scored]) -> dict[str, list[tuple[float, bool]]]:
    """(score, correct) of each problem's responses; empty if the scorer left one out."""
    problems: dict[str, list[tuple[float, bool]]] = defaultdict(list)
    for row in rows:
        score = row.score(name)
        # Best of those that have a score would be the best of fewer than k.
        if score is None:
            return {}
        problems[row.id].append((score, row.right))
    return problems
