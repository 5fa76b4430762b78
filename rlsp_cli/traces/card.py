"""The data card: how a file of traces was made, as JSON and as Markdown."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from rlsp_cli.data.raw_trace import RawTrace
from rlsp_cli.evals.overlap.against import ComparedBench
from rlsp_cli.evals.overlap.index import CANNOT_FIND, NGRAM, SHARE, same_text
from rlsp_cli.recipe.search import TreeSearch
from rlsp_cli.traces.keys import RejectionSampling
from rlsp_cli.traces.tally import Tally

_PERCENTILES = (10, 50, 90, 99)
"""Of the solutions' lengths."""
_DIGEST_SHOWN = 12
"""Characters of a bench's digest in the Markdown card."""


@dataclass(frozen=True)
class Source:
    """A source that was read; `identity` is its digest or revision."""

    source: str
    format: str
    rows: int
    identity: str


@dataclass(frozen=True)
class DataCard:
    """How a file of traces was made.

    `sampling`, `search` and `verifier` are None if nothing was sampled, searched or verified, `benches` is empty if
    nothing was compared. `verifier` is a recipe's `reward.correctness`, with all options.
    """

    file: str
    sha256: str
    created: str
    version: str
    command: str
    sources: Sequence[Source]
    sampling: RejectionSampling | None
    search: TreeSearch | None
    verifier: Mapping[str, Any] | None
    length_unit: str
    benches: Sequence[ComparedBench]
    filters: Sequence[Tally]
    rows: Sequence[RawTrace] = field(repr=False)

    @property
    def lengths(self) -> dict[str, int]:
        """Shortest, percentiles (nearest rank) and longest of the solutions, in `length_unit`."""
        lengths = sorted(row.length for row in self.rows)
        found = {"min": lengths[0]}
        for percent in _PERCENTILES:
            rank = math.ceil(percent * len(lengths) / 100)
            found[f"p{percent}"] = lengths[rank - 1]
        return {**found, "max": lengths[-1]}

    @property
    def problems(self) -> int:
        """How many problems the traces solve."""
        return len({same_text(row.problem) for row in self.rows})

    @property
    def _sampling(self) -> dict[str, Any] | None:
        # A search grows one tree for each problem, whatever the number of solutions.
        unused = {"samples"} if self.search else None
        return self.sampling.model_dump(exclude=unused) if self.sampling else None

    @property
    def _search(self) -> dict[str, Any] | None:
        return self.search.model_dump(mode="json") if self.search else None

    def to_json(self) -> dict[str, Any]:
        """The facts as plain data."""
        benches = [bench.to_json() for bench in self.benches]
        return {
            "file": self.file,
            "sha256": self.sha256,
            "created": self.created,
            "version": self.version,
            "command": self.command,
            "sources": [asdict(source) for source in self.sources],
            "sampling": self._sampling,
            "search": self._search,
            "verifier": self.verifier,
            "length_unit": self.length_unit,
            "rows": len(self.rows),
            "problems": self.problems,
            "lengths": self.lengths,
            "overlap": {
                "ngram": NGRAM,
                "share": SHARE,
                "benches": benches,
                "cannot_find": CANNOT_FIND,
            },
            "filters": [tally.to_json() for tally in self.filters],
        }

    def to_markdown(self) -> str:
        """The facts as a Markdown page."""
        sources = [(one.source, one.format, one.rows, one.identity) for one in self.sources]
        # A reader asks first where the rows are from, and then what became of them.
        filters = [(one.name, one.before, one.after, one.reasons_text) for one in self.filters]
        lengths = ", ".join(f"{name} {value}" for name, value in self.lengths.items())

        lines = [
            f"# Data card of {self.file}\n",
            f"{len(self.rows)} rows of {self.problems} problems, "
            f"made by rlsp {self.version} on {self.created}:\n",
            f"    {self.command}\n",
            "## Sources\n",
            _table([("source", "format", "rows", "identity"), *sources]),
            "## Filters, in order\n",
            _table([("filter", "in", "out", "rows left out, and the first of them"), *filters]),
            "## How\n",
            f"- length of solutions in {self.length_unit}: {lengths}",
            f"- verifier: {_inline(self.verifier)}",
            f"- sampled: {_inline(self._sampling)}",
            f"- searched: {_inline(self._search)}",
            f"- compared with benches: {_benches_text(self.benches)}",
            f"- SHA-256: {self.sha256}\n",
        ]
        return "\n".join(lines)


def _benches_text(benches: Sequence[ComparedBench]) -> str:
    if not benches:
        return "none"

    named = []
    for one in benches:
        read = f"{one.problems} of {one.source}, {one.digest[:_DIGEST_SHOWN]}"
        named.append(f"{one.name} ({read}) by {one.rule}")
    return f"{'; '.join(named)}; which finds no {CANNOT_FIND.replace(' or ', ' and ')}"


def _inline(data: Mapping[str, Any] | None) -> str:
    return "no" if data is None else f"`{json.dumps(data, ensure_ascii=False)}`"


def _table(rows: Sequence[tuple[object, ...]]) -> str:
    lines = ["| " + " | ".join(map(_cell, row)) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]]) + "\n"


def _cell(value: object) -> str:
    # A pipe or a line end would end the cell.
    return str(value).replace("|", "\\|").replace("\n", " ")
