"""The runs that are shown, and what the page asks of them, by name: the same served and exported."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rlsp_cli.errors import UsageError
from rlsp_cli.runs.run import RUNS, newest_run
from rlsp_cli.view.drawn_tree import drawn_tree
from rlsp_cli.view.row_file import PIECE
from rlsp_cli.view.viewed_run import ViewedRun

_DEEPEST = 3
"""Levels below a folder at which its runs are."""


class Library:
    """Answers to what the page asks for; each is the bytes of a JSON document.

    | name | answer |
    |---|---|
    | `runs` | every run: state, files, results |
    | `metrics/RUN/STAGE` | rows of metrics from `start` on, and alarms |
    | `index/RUN/FILE` | light rows from `start` on |
    | `behaviours/RUN/FILE` | counts of behaviours from row `start` on |
    | `rows/RUN/FILE/PIECE` | the rows of a piece, whole |
    | `marks/RUN/FILE/PIECE` | the places of behaviours in the responses of a piece |
    | `tree/RUN/FILE/ROW` | the tree that a row is the answer of |

    RUN, FILE, PIECE and ROW are numbers. An answer that goes on has `times_anew`: when it has
    changed, the file is another one, and what is known of it is to be forgotten.
    """

    def __init__(self, roots: Sequence[Path]) -> None:
        self.runs = [ViewedRun(root, name) for root, name in _named(roots)]
        self._answers: dict[str, Callable[..., bytes]] = {
            "runs": self._runs,
            "metrics": self._metrics,
            "index": self._index,
            "behaviours": self._behaviours,
            "rows": self._rows,
            "marks": self._marks,
            "tree": self._tree,
        }

    def answer(self, name: str, start: int = 0) -> bytes:
        """The document of this name; LookupError or ValueError if there is none."""
        what, *parts = name.split("/")
        # A missing or needless part is a TypeError of the call.
        try:
            return self._answers[what](*parts, start=start)
        except TypeError as error:
            raise LookupError(name) from error

    def _runs(self, start: int) -> bytes:
        return _json({"piece": PIECE, "runs": [run.described() for run in self.runs]})

    def _metrics(self, run: str, stage: str, start: int) -> bytes:
        file = self.runs[int(run)].metrics[stage]
        file.update()
        return _json(
            {
                "times_anew": file.times_anew,
                "damaged": file.damaged,
                "rows": file.rows[start:],
                "alarms": [vars(alarm) for alarm in file.alarms],
            }
        )

    def _index(self, run: str, file: str, start: int) -> bytes:
        rows = self.runs[int(run)].files[int(file)]
        found = rows.light_rows(start)
        return _listed(found, times_anew=rows.times_anew, damaged=rows.damaged)

    def _behaviours(self, run: str, file: str, start: int) -> bytes:
        rows = self.runs[int(run)].files[int(file)]
        return _listed(rows.behaviour_counts(start), times_anew=rows.times_anew)

    def _rows(self, run: str, file: str, piece: str, start: int) -> bytes:
        return _json(self.runs[int(run)].files[int(file)].piece(int(piece)))

    def _marks(self, run: str, file: str, piece: str, start: int) -> bytes:
        return _json(self.runs[int(run)].files[int(file)].marks(int(piece)))

    def _tree(self, run: str, file: str, row: str, start: int) -> bytes:
        return _json(drawn_tree(self.runs[int(run)].files[int(file)], int(row)))


def run_folders(words: Sequence[str]) -> list[Path]:
    """The runs that words name: a folder, a folder of runs, or a name for its newest run.

    Without words the newest run of all. UsageError for a word that names none.
    """
    if not words:
        return [_newest("*")]
    return list(dict.fromkeys(folder for word in words for folder in _named_by(word)))


def _named_by(word: str) -> list[Path]:
    folder = Path(word)
    if (folder / "manifest.json").exists():
        return [folder]

    found: list[Path] = []
    for depth in range(1, _DEEPEST + 1):
        found += sorted(path.parent for path in folder.glob("*/" * depth + "manifest.json"))
    if found:
        return found

    if folder.exists():
        raise UsageError(f"{word}: no run in this folder; `rlsp runs list` shows the runs")
    return [_newest(word)]


def _newest(name: str) -> Path:
    if not any(RUNS.glob(f"{name}/*/manifest.json")):
        raise UsageError(f"{RUNS}/{name}: no run here; name a run folder, or a folder of runs")
    return newest_run(name)


def _named(roots: Sequence[Path]) -> list[tuple[Path, str]]:
    """Each run and each of its rounds, with a name that is short and sets it apart."""
    folders = [folder.absolute() for root in roots for folder in (root, *_rounds(root))]
    common = 0 if len(folders) == 1 else _common_parts(folders)

    named = []
    for folder in dict.fromkeys(folders):
        parts = folder.parts[common:] or folder.parts[-1:]
        named.append((folder, "/".join(parts[-3:] if common else parts[-2:])))
    return named


def _rounds(root: Path) -> list[Path]:
    found = [path.parent for path in root.glob("round-*/manifest.json")]
    return sorted(found, key=lambda path: (len(path.name), path.name))


def _common_parts(folders: Sequence[Path]) -> int:
    columns = zip(*(folder.parts[:-1] for folder in folders), strict=False)
    common = 0
    for column in columns:
        if len(set(column)) > 1:
            break
        common += 1
    return common


def _json(value: Any) -> bytes:
    # ASCII, because a lone surrogate, which models write now and then, has no bytes in UTF-8.
    return json.dumps(value).encode()


def _listed(rows: Sequence[bytes], **beside: int) -> bytes:
    head = json.dumps(beside)[:-1].encode()
    return head + b', "rows": [' + b",".join(rows) + b"]}"
