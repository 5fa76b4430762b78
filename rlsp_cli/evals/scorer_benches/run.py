"""Measure a scorer on a bench for scorers; nothing is decoded, so no model is needed."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, as_completed
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rlsp_cli.errors import PluginError, UsageError
from rlsp_cli.evals.scorer_benches.bench_file import ScorerBenchFile
from rlsp_cli.evals.scorer_benches.first_error import (
    FirstError,
    Pair,
    Threshold,
    chosen_threshold,
    mean_f1,
    measured_errors,
)
from rlsp_cli.evals.scorer_benches.ranking import Ranking, ranking
from rlsp_cli.evals.scorer_benches.responses import Labelled, digest_of
from rlsp_cli.evals.scorer_benches.score_log import ScoreLog
from rlsp_cli.evals.statistics import Estimate
from rlsp_cli.recipe.plugin_use import ScorerUse
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.rewards.call import Call, Use
from rlsp_cli.rewards.models import NO_MODELS, Addresses
from rlsp_cli.rewards.pool import Pool
from rlsp_cli.rewards.sample import Score
from rlsp_cli.rewards.scorer import use_of
from rlsp_cli.runs.stream import write_json

RESULTS = "scorer_bench.json"
"""The file of a result in its folder."""


@dataclass(frozen=True)
class ScorerResult:
    """A scorer on one bench, by subset; `f1` is the mean over subsets of `first_error`.

    `failures` counts the responses without a score by outcome, `tokens` what models read and wrote.
    `digest` is that of the responses with their labels.
    """

    bench: str
    scorer: Mapping[str, Any]
    models: Mapping[str, Any]
    threshold: Threshold | None
    subsets: Mapping[str, FirstError | Ranking]
    f1: Estimate | None
    failures: Mapping[str, int]
    tokens: int
    digest: str

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        threshold = self.threshold and self.threshold._asdict()
        return {**asdict(self), "threshold": threshold}


def score_responses(
    scorer: ScorerUse,
    responses: Sequence[Labelled],
    folder: Path,
    recipe: Recipe,
    models: Mapping[str, Any],
    served: Addresses = NO_MODELS,
) -> list[Score]:
    """The scores of responses, in worker processes; `folder` keeps each as it comes.

    What the folder has already is not scored again. `models` are those that the scorer asks, at the
    addresses `served`; limits and plugin files are the recipe's.
    """
    use, limits = use_of(scorer.kind, scorer, recipe.plugins), recipe.reward
    if use.takes_group:
        message = f"{use.name} compares the responses to one prompt, and a bench has their labels"
        raise PluginError(f"{message}; measure a scorer of single responses")

    log = ScoreLog(folder, responses, _made(scorer, use, responses, models))
    with Pool([use], limits.workers, limits.timeout_s, limits.memory_gb, models=served) as pool:
        for number, score in _as_they_come(pool, use, responses, log.missing):
            log.add(number, score)
    return log.close()


def _made(
    scorer: ScorerUse, use: Use, responses: Sequence[Labelled], models: Mapping[str, Any]
) -> dict[str, Any]:
    """All that the scores depend on."""
    named = {"scorer": scorer.model_dump(mode="json"), "models": models}
    return {**named, "source": use.digest, "responses": digest_of(responses)}


def _as_they_come(
    pool: Pool, use: Use, responses: Sequence[Labelled], numbers: Sequence[int]
) -> Iterator[tuple[int, Score]]:
    """The scores of the responses with these numbers, whichever is there first."""
    waiting: dict[Future[list[Score]], int] = {}
    for number in numbers:
        one = responses[number]
        call = Call(use, (one.sample,), one.steps if use.steps else None)
        # Waits while the queue is full, so that few scores are not written yet.
        waiting[pool.submit(partial(pool.run, call))] = number
        for done in [future for future in waiting if future.done()]:
            yield waiting.pop(done), done.result()[0]

    for done in as_completed(waiting):
        yield waiting[done], done.result()[0]


def measure_scorer(
    file: ScorerBenchFile,
    scorer: ScorerUse,
    models: Mapping[str, Any],
    responses: Sequence[Labelled],
    scores: Sequence[Score],
    threshold: float | str,
) -> ScorerResult:
    """The numbers of a bench; `threshold` is a number, or the subset on which it is chosen.

    That subset is then in no mean. UsageError as by `refuse_threshold`.
    """
    refuse_threshold(file, responses, threshold)
    subsets: dict[str, list[Pair]] = {}
    for response, score in zip(responses, scores, strict=True):
        subsets.setdefault(response.subset, []).append(Pair(response, score))

    found: dict[str, FirstError | Ranking]
    limit, f1 = None, None
    if file.measure == "first_error":
        limit = _threshold(subsets, threshold)
        errors = {
            name: measured_errors(pairs, limit.value)
            for name, pairs in subsets.items()
            if name != limit.chosen_on
        }
        found, f1 = dict(errors), mean_f1(errors)
    else:
        found = {name: ranking(pairs) for name, pairs in subsets.items()}

    return ScorerResult(
        bench=file.name,
        scorer=scorer.model_dump(mode="json"),
        models=models,
        threshold=limit,
        subsets=found,
        f1=f1,
        failures=dict(Counter(score.outcome for score in scores if score.value is None)),
        tokens=sum(score.tokens for score in scores),
        digest=digest_of(responses),
    )


def write_result(folder: Path, result: ScorerResult) -> None:
    """Write scorer_bench.json."""
    write_json(folder / RESULTS, {"schema": "rlsp.scorer-bench/1", "data": result.to_json()})


def refuse_threshold(
    file: ScorerBenchFile, responses: Sequence[Labelled], threshold: float | str
) -> None:
    """UsageError for a threshold that is neither a number nor one of several subsets."""
    subsets = list(dict.fromkeys(one.subset for one in responses))
    if isinstance(threshold, str) and (threshold not in subsets or len(subsets) < 2):
        raise UsageError(
            f"--threshold {threshold}: expected a number, or one of several subsets of "
            f"{file.name} to choose it on; found: {', '.join(subsets)}"
        )


def _threshold(subsets: Mapping[str, Sequence[Pair]], threshold: float | str) -> Threshold:
    if isinstance(threshold, str):
        return Threshold(chosen_threshold(subsets[threshold]), threshold)
    return Threshold(threshold)
