"""Verifiers that check several things of a response, such as IFEval's instructions."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from rlsp_cli.evals.answer import Scored, clusters_of
from rlsp_cli.evals.statistics import Clusters, Estimate, by_cluster, cluster_means, mean_share


@dataclass(frozen=True)
class CheckLevels:
    """IFEval's two levels (2311.07911): responses that pass every check, and checks passed."""

    prompt: Estimate
    instruction: Estimate


def check_levels(rows: Sequence[Scored]) -> dict[str, CheckLevels]:
    """By rule, such as `strict`, with intervals over problems; empty for a verifier without."""
    rules: dict[str, dict[str, list[Sequence[bool]]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        for rule, passed in (row.correctness.checks or {}).items():
            rules[rule][row.id].append(passed)

    levels, clusters = {}, clusters_of(rows)
    for rule, problems in rules.items():
        levels[rule] = CheckLevels(
            prompt=_all(problems, clusters), instruction=_each(problems, clusters)
        )
    return levels


def _all(problems: Mapping[str, list[Sequence[bool]]], clusters: Clusters) -> Estimate:
    """Mean over problems of the share of their responses that pass every check."""
    shares = {id: sum(map(all, checks)) / len(checks) for id, checks in problems.items()}
    return mean_share(cluster_means(shares, clusters))


def _each(problems: Mapping[str, list[Sequence[bool]]], clusters: Clusters) -> Estimate:
    """Share of all checks that are passed: a problem with more of them weighs more.

    That is a ratio of two sums R = P / N. Its interval is by linearisation (delta method): the
    cluster with p of n checks passed contributes R + (p - R n) / mean(n).
    """
    groups = [[*chain(*several)] for several in by_cluster(problems, clusters).values()]
    passed = [sum(map(sum, responses)) for responses in groups]
    asked = [sum(map(len, responses)) for responses in groups]
    share, mean = sum(passed) / sum(asked), sum(asked) / len(asked)

    linear = mean_share(
        [share + (p - share * n) / mean for p, n in zip(passed, asked, strict=True)]
    )
    return Estimate(share, max(0.0, linear.low), min(1.0, linear.high))
