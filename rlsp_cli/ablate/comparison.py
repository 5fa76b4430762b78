"""Each arm beside the baseline on the same problems, paired by seed."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from rlsp_cli.evals.answer import GREEDY, SAMPLE, clusters_of
from rlsp_cli.evals.metrics import of_kind, per_problem
from rlsp_cli.evals.saved_answers import read_answers
from rlsp_cli.evals.statistics import SeedsDifference, cluster_means, difference_over_seeds

Part = tuple[str, str]
"""Bench and kind of responses."""

_MAY_DIFFER = ("seed", "first_prompt")


@dataclass(frozen=True)
class Evaluated:
    """What the last model of a run answered.

    `accuracies` has the share of right responses by problem, `clusters` the rows that several
    problems were made of, `made` the protocol of each bench.
    """

    accuracies: Mapping[Part, Mapping[str, float]]
    clusters: Mapping[str, str]
    made: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class ArmResult:
    """An arm on a bench by one decoding; `moved` is beside the baseline, None for itself.

    `accuracy` is the mean over the seeds that are done.
    """

    arm: str
    bench: str
    kind: str
    accuracy: float
    seeds: int
    moved: SeedsDifference | None

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


ByArm = Mapping[str, Mapping[int, Evaluated]]
"""By the name of an arm and its seed; only runs that are done."""


def evaluated(root: Path) -> Evaluated:
    """Read what a run's last model answered; UsageError if it answered nothing."""
    accuracies: dict[Part, Mapping[str, float]] = {}
    clusters: dict[str, str] = {}
    made: dict[str, Mapping[str, Any]] = {}
    for saved in read_answers(root):
        made[saved.bench] = saved.made
        clusters |= clusters_of(saved.rows)
        for kind in (GREEDY, SAMPLE):
            if found := per_problem(of_kind(saved.rows, kind)):
                accuracies[saved.bench, kind] = found
    return Evaluated(accuracies, clusters, made)


def compare_arms(found: ByArm, baseline: str) -> list[ArmResult]:
    """Every arm on every bench and decoding that it answered, in the order of the arms."""
    parts = dict.fromkeys(part for one in _all(found) for part in one.accuracies)
    changed = set(_changed_benches(found))

    results = []
    for part in parts:
        if part[0] not in changed:
            results += [_result(arm, part, found, baseline) for arm in found]
    return [result for result in results if result is not None]


def _changed_benches(found: ByArm) -> list[str]:
    """Benches whose problems are not the same in all runs: nothing can be paired on them."""
    return [bench for bench, keys in _differing(found).items() if "bench_digest" in keys]


def protocol_notes(found: ByArm) -> Iterator[str]:
    """A line for each bench that was not asked alike in all runs."""
    for bench, keys in _differing(found).items():
        if "bench_digest" in keys:
            yield f"{bench}: the runs answered different problems, so they are not compared"
        elif keys:
            yield f"{bench}: the runs differ in {', '.join(keys)}, which may be all that is shown"


def _result(arm: str, part: Part, found: ByArm, baseline: str) -> ArmResult | None:
    done = {seed: one for seed, one in found[arm].items() if part in one.accuracies}
    if not done:
        return None

    means = [
        statistics.fmean(cluster_means(one.accuracies[part], one.clusters)) for one in done.values()
    ]
    moved = None if arm == baseline else _moved(part, found[baseline], done)
    return ArmResult(arm, *part, statistics.fmean(means), len(done), moved)


def _moved(
    part: Part, base: Mapping[int, Evaluated], done: Mapping[int, Evaluated]
) -> SeedsDifference | None:
    """Over the seeds that both have; None if there is none."""
    both = [
        (base[seed], done[seed]) for seed in done if part in base.get(seed, _NOTHING).accuracies
    ]
    if not both:
        return None
    pairs = [(before.accuracies[part], after.accuracies[part]) for before, after in both]
    clusters = dict(chain.from_iterable(one.clusters.items() for one in chain(*both)))
    return difference_over_seeds(pairs, clusters)


_NOTHING = Evaluated({}, {}, {})


def _differing(found: ByArm) -> dict[str, list[str]]:
    """The keys of each bench's protocol that are not the same in all runs."""
    differing: dict[str, list[str]] = {}
    for bench in dict.fromkeys(bench for one in _all(found) for bench in one.made):
        made = [one.made[bench] for one in _all(found) if bench in one.made]
        keys = [key for key in made[0] if key not in _MAY_DIFFER]
        differing[bench] = [key for key in keys if any(o.get(key) != made[0][key] for o in made)]
    return differing


def _all(found: ByArm) -> Sequence[Evaluated]:
    return [one for runs in found.values() for one in runs.values()]
