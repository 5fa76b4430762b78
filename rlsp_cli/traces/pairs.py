"""`rlsp data pairs`: right and wrong responses to the same problems, for preference training."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from rlsp_cli import __version__
from rlsp_cli.data.raw_trace import RawTrace
from rlsp_cli.evals.benches import Bench
from rlsp_cli.evals.overlap.against import benches_of, compared_bench, index_of, whole_bench
from rlsp_cli.recipe.load import load_recipe
from rlsp_cli.recipe.reward import Reward
from rlsp_cli.recipe.shipped import find_recipe
from rlsp_cli.rewards.registry import resolve_options
from rlsp_cli.rewards.scorer import Scorer
from rlsp_cli.runs.clock import now
from rlsp_cli.traces.card import DataCard
from rlsp_cli.traces.filters import (
    Filter,
    apart_from,
    by_length,
    closed,
    count_words,
    run_filters,
    verdicts,
)
from rlsp_cli.traces.keys import PairSettings
from rlsp_cli.traces.output import digest_of, refuse_out, write_traces
from rlsp_cli.traces.pairing import Verdict, judged, paired
from rlsp_cli.traces.responses import IN_SOURCES, Responses, read_responses, verdicts_in
from rlsp_cli.traces.tally import Tally, joined
from rlsp_cli.traces.verdict import reward_of

_SILENT = ("length",)
"""Filters that leave nothing out."""


@dataclass(frozen=True)
class PairJob:
    """Pairs to make: of which files or runs, and into which file; `command` is for the card."""

    sources: Sequence[Path]
    out: Path
    command: str
    settings: PairSettings


def make_pairs(job: PairJob) -> DataCard:
    """Write the pairs and their card.

    UsageError for a file that exists, DataError if no pair is left.
    """
    refuse_out(job.out)
    settings = job.settings
    named = settings.decontaminate
    recipe = load_recipe(find_recipe(named), plugins=resolve_options) if named else None
    benches = [whole_bench(name, recipe) for name in benches_of(recipe)] if recipe else []
    reward = reward_of(settings.verifier) if settings.verifier else None

    sources = [read_responses(source) for source in job.sources]
    read = joined([source.filtered for source in sources])
    read.tally.refuse_nothing()

    verdict = _verdict(read.rows, reward) if reward else verdicts_in(sources)
    filters = _filters(settings, benches, verdict)
    rows = [replace(row, metadata={}) for row in read.rows]
    pairs, tallies = run_filters(rows, filters)
    card = _card(job, sources, benches, reward, [read.tally, *tallies], pairs)
    write_traces(job.out, card)
    return card


def _filters(
    settings: PairSettings, benches: Sequence[Bench], verdict: Verdict
) -> Iterator[Filter]:
    yield closed
    yield partial(by_length, count=count_words, shortest=0, longest=None)
    yield partial(judged, verdict=verdict)
    if benches:
        yield partial(apart_from, index=index_of(benches))
    yield partial(paired, verdict=verdict, most=settings.per_problem)


def _card(
    job: PairJob,
    sources: Sequence[Responses],
    benches: Sequence[Bench],
    reward: Reward | None,
    tallies: Sequence[Tally],
    pairs: Sequence[RawTrace],
) -> DataCard:
    return DataCard(
        file=job.out.name,
        sha256=digest_of(pairs),
        created=now(),
        version=__version__,
        command=job.command,
        sources=[source.source for source in sources],
        sampling=None,
        search=None,
        verifier=reward.correctness.model_dump(mode="json") if reward else IN_SOURCES,
        length_unit="words",
        benches=[compared_bench(bench) for bench in benches],
        filters=[tally for tally in tallies if tally.name not in _SILENT],
        rows=pairs,
    )


def _verdict(rows: Sequence[RawTrace], reward: Reward) -> Verdict:
    """The verdicts of a verifier."""
    with Scorer(reward) as scorer:
        scores = list(verdicts(rows, scorer.verify, lambda done, total: None))

    found: Mapping[str, float | None]
    found = {
        row.place: score.value if score else None for row, score in zip(rows, scores, strict=True)
    }
    return lambda row: found[row.place]
