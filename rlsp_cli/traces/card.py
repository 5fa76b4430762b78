"""The data card: what somebody needs to know of a file of traces, as JSON and to read."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rlsp_cli.data.demonstration import Demonstration
from rlsp_cli.evals.overlap.index import CANNOT_FIND, NGRAM, SHARE, same_text
from rlsp_cli.traces.filters import Count

_PERCENTILES = (10, 50, 90, 99)


@dataclass(frozen=True)
class Card:
    """How a file of traces was made.

    `sources`, `sampling`, `verifier` and `benches` are plain data; the middle two are None where nothing was sampled
    or verified, `benches` is empty where nothing was compared.
    """

    file: str
    sha256: str
    created: str
    version: str
    command: str
    sources: Sequence[Mapping[str, Any]]
    sampling: Mapping[str, Any] | None
    verifier: Mapping[str, Any] | None
    length_unit: str
    benches: Sequence[Mapping[str, Any]]
    filters: Sequence[Count]
    rows: Sequence[Demonstration] = field(repr=False)

    def to_json(self) -> dict[str, Any]:
        """The facts as plain data."""
        facts = {key: value for key, value in vars(self).items() if key not in ("rows", "filters", "benches")}
        return {
            **facts,
            "rows": len(self.rows),
            "problems": len({same_text(row.problem) for row in self.rows}),
            "lengths": _lengths(sorted(row.length for row in self.rows)),
            "overlap": {"ngram": NGRAM, "share": SHARE, "benches": list(self.benches), "cannot_find": CANNOT_FIND},
            "filters": [count.to_json() for count in self.filters],
        }

    def to_markdown(self) -> str:
        """The same facts to read."""
        facts = self.to_json()
        lengths = ", ".join(f"{name} {value}" for name, value in facts["lengths"].items())
        return "\n".join(
            [
                f"# Data card of {self.file}\n",
                f"{facts['rows']} demonstrations of {facts['problems']} problems, made by rlsp {self.version} on "
                f"{self.created}:\n",
                f"    {self.command}\n",
                "## Sources\n",
                _table([("source", "format", "rows", "identity"), *map(_source_cells, self.sources)]),
                "## Filters, in order\n",
                _table([("filter", "in", "out", "what went, and the first of it"), *map(_count_cells, self.filters)]),
                "## How\n",
                f"- length of solutions in {self.length_unit}: {lengths}",
                f"- verifier: {_inline(self.verifier)}",
                f"- sampled: {_inline(self.sampling)}",
                f"- compared with benches: {_benches(self.benches)}",
                f"- SHA-256: {self.sha256}\n",
            ]
        )


def _lengths(lengths: Sequence[int]) -> dict[str, int]:
    """Smallest, percentiles (nearest rank) and largest."""
    ranks = {f"p{percent}": lengths[-(-percent * len(lengths) // 100) - 1] for percent in _PERCENTILES}
    return {"min": lengths[0], **ranks, "max": lengths[-1]}


def _source_cells(source: Mapping[str, Any]) -> tuple[object, ...]:
    return source["source"], source["format"], source["rows"], source["identity"]


def _count_cells(count: Count) -> tuple[object, ...]:
    return count.name, count.before, count.after, reasons_text(count)


def reasons_text(count: Count) -> str:
    """Why rows went, in one line."""
    return "; ".join(f"{reason.rows} {why} ({reason.first})" for why, reason in count.reasons.items())


def _benches(benches: Sequence[Mapping[str, Any]]) -> str:
    if not benches:
        return "none"
    named = "; ".join(
        f"{b['name']} ({b['problems']} of {b['source']}, {b['digest'][:12]}) by {b['rule']}" for b in benches
    )
    return f"{named}; which finds no {CANNOT_FIND.replace(' or ', ' and ')}"


def _inline(data: Mapping[str, Any] | None) -> str:
    return "no" if data is None else f"`{json.dumps(data, ensure_ascii=False)}`"


def _table(rows: Sequence[tuple[object, ...]]) -> str:
    lines = ["| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]]) + "\n"
