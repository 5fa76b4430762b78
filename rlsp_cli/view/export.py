"""The page with its data as a folder that opens from a disk, without a server or a network."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

from rlsp_cli.errors import UsageError
from rlsp_cli.evals.answer import SEARCH
from rlsp_cli.runs.stream import write_text
from rlsp_cli.view.library import Library
from rlsp_cli.view.light_row import LightRow
from rlsp_cli.view.page import EXPORTED, SERVED, STATIC
from rlsp_cli.view.row_file import PIECE, RowFile


def export_view(library: Library, folder: Path) -> None:
    """Write the page and all that it may ask for; UsageError if the folder is used.

    Each answer of the library is a script of its own, which the page loads when it needs it: a
    browser lets a page from a disk run scripts beside it, but read no files.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder}: this folder is used; choose another one for --export")

    for name, answer in _answers(library):
        call = f"rlsp.arrived({json.dumps(name)}, {json.dumps(answer.decode())})\n"
        write_text(folder / "data" / f"{name}.js", call)
    for file in STATIC.iterdir():
        shutil.copy(file, folder)

    # Last: with it, everything is there.
    page = (STATIC / "index.html").read_text(encoding="utf-8")
    write_text(folder / "index.html", page.replace(SERVED, EXPORTED))


def _answers(library: Library) -> Iterator[tuple[str, bytes]]:
    yield "runs", library.answer("runs")
    for number, run in enumerate(library.runs):
        for stage in run.metrics:
            yield f"metrics/{number}/{stage}/0", library.answer(f"metrics/{number}/{stage}")
        for place, file in enumerate(run.files):
            yield from _of_file(library, f"{number}/{place}", file)


def _of_file(library: Library, place: str, file: RowFile) -> Iterator[tuple[str, bytes]]:
    searched = []
    for start, answer in _parts(library, f"index/{place}"):
        yield f"index/{place}/{start}", answer
        rows = [LightRow(*row) for row in json.loads(answer)["rows"]]
        searched += [start + n for n, row in enumerate(rows) if row.kind == SEARCH]
    for start, answer in _parts(library, f"behaviours/{place}"):
        yield f"behaviours/{place}/{start}", answer

    for piece in range(-(-len(file) // PIECE)):
        for what in ("rows", "marks"):
            yield (name := f"{what}/{place}/{piece}"), library.answer(name)
    if file.trees.exists():
        for row in searched:
            yield (name := f"tree/{place}/{row}"), library.answer(name)


def _parts(library: Library, name: str) -> Iterator[tuple[int, bytes]]:
    """The answers of this name, each from where the one before has ended; an empty one is the last."""
    start, is_last = 0, False
    while not is_last:
        answer = library.answer(name, start)
        yield start, answer
        rows = len(json.loads(answer)["rows"])
        start, is_last = start + rows, rows == 0
