"""`rlsp data starts`: beginnings of responses, cut after a step, from which PPO goes on."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import partial
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

from rlsp_cli import __version__
from rlsp_cli.data.raw_trace import RawTrace
from rlsp_cli.evals.overlap.index import same_text
from rlsp_cli.rewards.steps import split_steps
from rlsp_cli.rewards.thinking import without_tags
from rlsp_cli.runs.clock import now
from rlsp_cli.traces.card import DataCard
from rlsp_cli.traces.filters import by_length, count_words, run_filters
from rlsp_cli.traces.keys import StartSettings
from rlsp_cli.traces.output import digest_of, refuse_out, write_traces
from rlsp_cli.traces.pairing import Verdict, judged
from rlsp_cli.traces.responses import IN_SOURCES, Responses, read_responses, verdicts_in
from rlsp_cli.traces.tally import Filtered, Tally, joined, tally

_SILENT = ("length",)
"""Filters that leave nothing out."""


@dataclass(frozen=True)
class StartJob:
    """Starts to make: of which files or runs, and into which file; `command` is for the card."""

    sources: Sequence[Path]
    out: Path
    command: str
    settings: StartSettings


@dataclass(frozen=True)
class StartTrace(RawTrace):
    """A problem with the beginning of a response, which is its `solution`."""

    origin: str = ""
    """Whether that response was `right` or `wrong`."""

    def to_row(self) -> dict[str, Any]:
        """A row for `data.prompts`, with its start in the column `start`."""
        answer = {} if self.answer is None else {"answer": self.answer}
        return {
            **self.metadata,
            "id": self.id,
            "problem": self.problem,
            **answer,
            "start": self.solution,
            "origin": self.origin,
        }


def make_starts(job: StartJob) -> DataCard:
    """Write the starts and their card.

    UsageError for a file that exists, DataError if no start is left.
    """
    refuse_out(job.out)
    sources = [read_responses(source) for source in job.sources]
    read = joined([source.filtered for source in sources])
    read.tally.refuse_nothing()

    verdict, settings = verdicts_in(sources), job.settings
    filters = [
        partial(judged, verdict=verdict),
        partial(cut_off, verdict=verdict, settings=settings),
        partial(some_of_each, settings=settings),
        partial(by_length, count=count_words, shortest=0, longest=None),
    ]
    starts, tallies = run_filters(read.rows, filters)
    card = _card(job, sources, [read.tally, *tallies], starts)
    write_traces(job.out, card)
    return card


def cut_off(rows: Sequence[RawTrace], verdict: Verdict, settings: StartSettings) -> Filtered:
    """The beginning of each response, up to the end of a random step."""
    kept: list[RawTrace] = []
    faults = []
    for row in rows:
        beginnings = list(_beginnings(row.solution, settings.by))
        if not beginnings:
            faults.append((f"a single step by={settings.by}", row.place))
            continue
        start = Random(f"{settings.seed}:{row.id}").choice(beginnings)
        own = {field.name: getattr(row, field.name) for field in fields(RawTrace)}
        origin = "right" if verdict(row) == 1 else "wrong"
        kept.append(StartTrace(**{**own, "solution": start}, origin=origin))
    return Filtered(kept, tally("cut", len(rows), len(kept), faults))


def some_of_each(rows: Sequence[RawTrace], settings: StartSettings) -> Filtered:
    """At most `per_problem` starts of each problem and origin, chosen at random; equal ones once."""
    groups: dict[tuple[str, str], dict[str, int]] = defaultdict(dict)
    for number, row in enumerate(rows):
        assert isinstance(row, StartTrace), "made by cut_off"
        groups[same_text(row.problem), row.origin].setdefault(row.solution, number)

    chosen: set[int] = set()
    for key, starts in groups.items():
        most = min(settings.per_problem, len(starts))
        chosen.update(Random(f"{settings.seed}:{key}").sample(list(starts.values()), most))

    kept = [row for number, row in enumerate(rows) if number in chosen]
    faults = [
        ("the problem has enough", row.place)
        for number, row in enumerate(rows)
        if number not in chosen
    ]
    return Filtered(kept, tally("per problem", len(rows), len(kept), faults))


def _beginnings(response: str, by: str) -> Iterator[str]:
    """The response up to the end of each step but the last.

    Line breaks after the step belong to it: a tokenizer often has them in one token with the end of
    the line, and a blank in one with the word behind it.
    """
    steps = split_steps(response, by)
    for step, after in pairwise(steps):
        breaks = response[step.end : after.start].rpartition("\n")
        start = response[: step.end] + breaks[0] + breaks[1]
        if without_tags(start).strip():
            yield start


def _card(
    job: StartJob,
    sources: Sequence[Responses],
    tallies: Sequence[Tally],
    starts: Sequence[RawTrace],
) -> DataCard:
    return DataCard(
        file=job.out.name,
        sha256=digest_of(starts),
        created=now(),
        version=__version__,
        command=job.command,
        sources=[source.source for source in sources],
        sampling=None,
        search=None,
        verifier=IN_SOURCES,
        length_unit="words",
        benches=[],
        filters=[one for one in tallies if one.name not in _SILENT],
        rows=starts,
    )
