"""`rlsp data traces`: read sources, filter them in a fixed order, write traces with a card."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from rlsp_cli import __version__
from rlsp_cli.data import source_rows
from rlsp_cli.data.formats import FORMATS, pick_format
from rlsp_cli.data.raw_trace import RawTrace
from rlsp_cli.errors import PluginError, UsageError
from rlsp_cli.evals.benches import Bench
from rlsp_cli.evals.overlap.against import benches_of, compared_bench, whole_bench
from rlsp_cli.recipe.issue import OptionsError, did_you_mean
from rlsp_cli.recipe.load import load_recipe
from rlsp_cli.recipe.reward import Reward
from rlsp_cli.recipe.rows import Rows
from rlsp_cli.recipe.shipped import find_recipe
from rlsp_cli.rewards.model_use import models_of
from rlsp_cli.rewards.registry import resolve_options
from rlsp_cli.runs.clock import now
from rlsp_cli.runs.lock import locked
from rlsp_cli.traces.card import DataCard, Source
from rlsp_cli.traces.filters import converted, run_filters
from rlsp_cli.traces.job import TraceJob
from rlsp_cli.traces.keys import TraceSettings
from rlsp_cli.traces.output import digest_of, identity_of, refuse_out, write_traces
from rlsp_cli.traces.pipeline import pipeline
from rlsp_cli.traces.tally import Filtered, Tally, joined
from rlsp_cli.traces.tree_filter import refuse_search, telling_of_trees
from rlsp_cli.traces.verdict import reward_of


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
    reward = reward_of(settings.chosen_verifier) if settings.chosen_verifier else None

    read, sources = _read(job)
    with pipeline(job, recipe, benches, reward) as filters, telling_of_trees(job.trees):
        rows, tallies = run_filters(read.rows, filters)
    shown = [tally for tally in tallies if tally.reasons or tally.name not in _silent(settings)]

    card = _card(job, sources, benches, reward, [read.tally, *shown], rows)
    write_traces(job.out, card)
    shutil.rmtree(job.drafts, ignore_errors=True)
    return card


def _refuse(job: TraceJob) -> None:
    """UsageError for what can be said before anything is read."""
    settings = job.settings
    refuse_out(job.out)
    if settings.search:
        refuse_search(settings.search, settings.sample, has_selector=job.selector is not None)
    _refuse_continuation(settings)
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


def _refuse_continuation(settings: TraceSettings) -> None:
    """UsageError for a continuation that cannot answer, or whose turns are no messages.

    PluginError for one that is unknown, and for its options.
    """
    sampling = settings.sample
    use = sampling.continuation if sampling else None
    if sampling is None or use is None:
        return
    if sampling.url is not None:
        raise UsageError(
            "sample.continuation: it answers a model of the embedded engine, and sample.url is a "
            "server; leave out one of them"
        )
    if sampling.start is not None:
        raise UsageError(
            "sample.start: a response in turns begins anew; leave out sample.start or "
            "sample.continuation"
        )
    if use.stop:
        raise UsageError(
            "sample.continuation.stop: traces have whole messages, and a stop text ends half of one; "
            "leave it out"
        )
    try:
        resolve_options("continuation", use.use, use.options, ())
    except OptionsError as error:
        raise PluginError(f"sample.continuation: {error}") from error
    if settings.decontaminate is None:
        for model in models_of("continuation", use).values():
            raise UsageError(
                f"sample.continuation asks {model!r}; name its recipe, decontaminate=RECIPE"
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
        search=job.settings.search,
        verifier=verifier,
        length_unit=f"tokens of {job.settings.tokenizer}" if job.settings.tokenizer else "words",
        benches=[compared_bench(bench) for bench in benches],
        filters=filters,
        rows=rows,
    )
