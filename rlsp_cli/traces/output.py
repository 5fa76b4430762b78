"""The files of traces: one row a line, and beside it the data card as JSON and as Markdown."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from rlsp_cli.data import source_digest
from rlsp_cli.data.raw_trace import RawTrace
from rlsp_cli.errors import UsageError
from rlsp_cli.rewards.registry import get_plugin
from rlsp_cli.runs.stream import write_json, write_lines, write_text
from rlsp_cli.traces.card import DataCard


def refuse_out(out: Path) -> None:
    """UsageError for a file that is no .jsonl, or that exists, or whose card does."""
    if out.suffix != ".jsonl":
        raise UsageError(f"{out}: written as JSON Lines; name a file that ends in .jsonl")
    for path in (out, *card_paths(out)):
        if path.exists():
            raise UsageError(f"{path}: exists already; name another file by --out")


def card_paths(out: Path) -> tuple[Path, Path]:
    """The Markdown card and the JSON card of a file of traces."""
    return out.with_suffix(".card.md"), out.with_suffix(".card.json")


def write_traces(out: Path, card: DataCard) -> None:
    """Write the rows of a card, and the card."""
    to_read, as_json = card_paths(out)

    # The traces come last: where they are, the card is.
    write_text(to_read, card.to_markdown())
    write_json(as_json, {"schema": "rlsp.traces/1", "data": card.to_json()})
    write_lines(out, _lines(card.rows))


def digest_of(rows: Iterable[RawTrace]) -> str:
    """SHA-256 of the file that the traces will be."""
    digest = hashlib.sha256()
    for line in _lines(rows):
        digest.update(line.encode())
    return digest.hexdigest()


def identity_of(source: str) -> str:
    """What identifies the data of a source, and changes when the source does."""
    if source.startswith("task:"):
        return f"plugin {get_plugin('task', source.removeprefix('task:')).digest}"
    if source.startswith("hf:"):
        return f"revision {source.partition('@')[2] or 'not pinned'}"
    return f"SHA-256 {source_digest(source)}"


def _lines(rows: Iterable[RawTrace]) -> Iterator[str]:
    for row in rows:
        yield json.dumps(row.to_row(), ensure_ascii=False) + "\n"
