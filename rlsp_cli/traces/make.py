"""`rlsp data traces`: read sources, filter them in a fixed order, write traces with a card."""

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rlsp_cli import __version__
from rlsp_cli.data import source_rows
from rlsp_cli.data.formats import FORMATS, pick_format
from rlsp_cli.data.raw_trace import RawTrace
from rlsp_cli.errors import UsageError
from rlsp_cli.evals.benches import Bench
from rlsp_cli.evals.overlap.against import benches_of, compared_bench, index_of, whole_bench
from rlsp_cli.recipe.issue import did_you_mean
from rlsp_cli.recipe.load import load_recipe, resolve_recipe
from rlsp_cli.recipe.schema import Data, Model, Recipe, Reward, Rows
from rlsp_cli.recipe.selector_use import SelectorUse
from rlsp_cli.recipe.shipped import find_recipe
from rlsp_cli.rewards.registry import resolve_options
from rlsp_cli.rewards.scorer import Scorer
from rlsp_cli.rewards.selection import Selector
from rlsp_cli.rewards.token_count import token_counter
from rlsp_cli.runs.clock import now
from rlsp_cli.runs.lock import locked
from rlsp_cli.terminal import print
from rlsp_cli.traces.card import DataCard, Source
from rlsp_cli.traces.filters import (
    Filter,
    apart_from,
    by_length,
    closed,
    converted,
    one_per_problem,
    run_filters,
    selected,
    verified,
)
from rlsp_cli.traces.keys import RejectionSampling, TraceSettings
from rlsp_cli.traces.output import card_paths, digest_of, identity_of, write_traces
from rlsp_cli.traces.rejection import RejectionSampler
from rlsp_cli.traces.sampling import open_sampler
from rlsp_cli.traces.tally import Filtered, Tally, joined


@dataclass(frozen=True)
class TraceJob:
    """Traces to make, from which sources and into which file.

    `command` is the command line, for the card; `limit` the most rows to read of each source;
    `selector` chooses among the solutions of each problem.
    """

    sources: Sequence[str]
    out: Path
    command: str
    settings: TraceSettings
    limit: int | None = None
    selector: SelectorUse | None = None

    @property
    def drafts(self) -> Path:
        """Folder of sampled responses, so that an interrupted command resumes."""
        return self.out.with_suffix(".drafts")


def make_traces(job: TraceJob) -> DataCard:
    """Write the traces and their card.

    UsageError for contradicting settings or a file that exists, DataError if no row is left.
    """
    _refuse(job)
    # Two commands with one output would write into the same drafts.
    with locked(job.drafts):
        return _make(job)


def _make(job: TraceJob) -> DataCard:
    settings = job.settings
    recipe = None
    if settings.decontaminate:
        recipe = load_recipe(find_recipe(settings.decontaminate), plugins=resolve_options)

    # Whole, whatever `eval.limit` says: a row must not be in any part of a bench.
    benches = [whole_bench(name, recipe) for name in benches_of(recipe)] if recipe else []
    reward = _reward(settings.chosen_verifier) if settings.chosen_verifier else None

    read, sources = _read(job)
    with _filters(job, recipe, benches, reward) as filters:
        rows, tallies = run_filters(read.rows, filters)
    shown = [tally for tally in tallies if tally.reasons or tally.name not in _silent(settings)]

    card = _card(job, sources, benches, reward, [read.tally, *shown], rows)
    write_traces(job.out, card)
    shutil.rmtree(job.drafts, ignore_errors=True)
    return card


def _refuse(job: TraceJob) -> None:
    """UsageError for what can be said before anything is read."""
    settings, out = job.settings, job.out
    if out.suffix != ".jsonl":
        raise UsageError(
            f"{out}: traces are written as JSON Lines; name a file that ends in .jsonl"
        )
    for path in (out, *card_paths(out)):
        if path.exists():
            raise UsageError(f"{path}: exists already; name another file by --out")

    if settings.keep_wrong and job.selector is None:
        raise UsageError("keep_wrong: without --select no wrong solution is kept; name a selector")
    if settings.limits_length and settings.tokenizer is None:
        raise UsageError(
            "min_tokens and max_tokens: tokens of which model? name its folder, tokenizer=FOLDER"
        )
    if settings.format is not None and settings.format not in FORMATS:
        raise UsageError(
            f"unknown format {settings.format!r} - {did_you_mean(settings.format, FORMATS)}"
        )


def _silent(settings: TraceSettings) -> set[str]:
    """Filters that always run, and are shown only if they leave rows out."""
    return {"thinking"} if settings.limits_length else {"thinking", "length"}


def _read(job: TraceJob) -> tuple[Filtered, list[Source]]:
    """The traces of all sources, and what the card says of each source."""
    settings = job.settings
    parts, sources = [], []
    for source in job.sources:
        # Each source may have a format of its own, which its first row shows.
        rows = source_rows(Rows(source=source, rows=job.limit))
        format = settings.format or pick_format(next(iter(rows)), settings.columns)
        name = Path(source.removeprefix("hf:").partition("@")[0]).stem
        parts.append(converted(rows, name, format, settings.columns))
        sources.append(Source(source, format, parts[-1].tally.before, identity_of(source)))

    read = joined(parts)
    read.tally.refuse_nothing()
    return read, sources


def _reward(verifier: str) -> Reward:
    """A verifier with its defaults, on all cores."""
    reward = {"correctness": {"use": verifier}, "workers": os.cpu_count() or 1}
    return resolve_recipe({"name": "traces", "reward": reward}, plugins=resolve_options).reward


@contextmanager
def _filters(
    job: TraceJob, recipe: Recipe | None, benches: Sequence[Bench], reward: Reward | None
) -> Iterator[list[Filter]]:
    """The filters that the settings ask for, in their order, with the verifier's processes."""
    settings = job.settings
    with ExitStack() as running:
        filters: list[Filter] = []
        if settings.sample:
            data = recipe.data if recipe else Data()
            filters.append(_rejection_sampler(settings.sample, data, job.drafts).sample)

        # What costs nothing comes before the verifier, which may take seconds for each row.
        filters.append(closed)
        count = token_counter(Model(), settings.tokenizer) or _count_words
        shortest, longest = settings.min_tokens, settings.max_tokens
        filters.append(partial(by_length, count=count, shortest=shortest, longest=longest))

        tick = partial(_print_tick, "verified")
        verify = running.enter_context(Scorer(reward)).verify if reward else None
        if job.selector:
            selector = running.enter_context(Selector(job.selector, reward or Reward()))
            keep_wrong = settings.keep_wrong
            filters.append(
                partial(
                    selected, selector=selector, verify=verify, keep_wrong=keep_wrong, tick=tick
                )
            )
        elif verify:
            filters.append(partial(verified, verify=verify, tick=tick))
        if benches:
            filters.append(partial(apart_from, index=index_of(benches)))
        if settings.one_per_problem:
            filters.append(one_per_problem)
        yield filters


def _rejection_sampler(sampling: RejectionSampling, data: Data, drafts: Path) -> RejectionSampler:
    sampler, prompt = open_sampler(sampling.model, sampling.url, data)
    return RejectionSampler(
        sampler, sampling, prompt, drafts, data.system, tick=partial(_print_tick, "sampled")
    )


def _count_words(text: str) -> int:
    return len(text.split())


def _print_tick(what: str, done: int, total: int) -> None:
    print(f"{what} {done} of {total}", file=sys.stderr, flush=True)


def _card(
    job: TraceJob,
    sources: Sequence[Source],
    benches: Sequence[Bench],
    reward: Reward | None,
    filters: Sequence[Tally],
    rows: Sequence[RawTrace],
) -> DataCard:
    verifier = None
    if reward:
        verifier = {**reward.correctness.model_dump(mode="json"), "timeout_s": reward.timeout_s}

    return DataCard(
        file=job.out.name,
        sha256=digest_of(rows),
        created=now(),
        version=__version__,
        command=job.command,
        sources=sources,
        sampling=job.settings.sample,
        verifier=verifier,
        length_unit=f"tokens of {job.settings.tokenizer}" if job.settings.tokenizer else "words",
        benches=[compared_bench(bench) for bench in benches],
        filters=filters,
        rows=rows,
    )
