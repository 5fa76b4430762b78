"""Verdicts of earlier runs, in a SQLite file that the processes of one machine can share."""

import hashlib
import importlib.metadata
import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from functools import cache
from pathlib import Path

from rlsp_cli.errors import NotReadyError
from rlsp_cli.rewards.call import Use
from rlsp_cli.rewards.sample import Sample, Score

_UNSEEN = ("id", "step")
"""Of a sample: what its verdict does not depend on."""
_PATIENCE_S = 60.0
"""Seconds that another process may hold the file."""


class VerdictCache:
    """Values and abstentions, but no failures, which are tried again. Usable from any thread."""

    def __init__(self, path: Path, patience_s: float = _PATIENCE_S) -> None:
        self.path, self._lock = path, threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = _opened(path, patience_s)
        except (OSError, sqlite3.Error) as error:
            raise NotReadyError(
                f"{path}: not usable as reward.cache ({error}); name another file"
            ) from error

    def key(self, use: Use, sample: Sample) -> bytes:
        """A digest of all that a verdict depends on: source, options, packages, and the sample."""
        seen = {name: value for name, value in asdict(sample).items() if name not in _UNSEEN}
        if sample.turns is None:
            del seen["turns"]
        if not sample.start:
            del seen["start"]
        parts = [use.name, use.digest, use.options, _environment(), seen]
        return hashlib.blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=16).digest()

    def get(self, keys: Iterable[bytes]) -> dict[bytes, Score]:
        """The scores that it has; a damaged one counts as missing."""
        found = {}
        with self._usable() as file:
            for key in keys:
                row = file.execute("SELECT score FROM verdicts WHERE key = ?", (key,)).fetchone()
                score = _score(row[0]) if row else None
                if score is not None:
                    found[key] = score
        return found

    def put(self, scores: Mapping[bytes, Score]) -> None:
        """Add the scores that did not fail."""
        rows = [
            (key, json.dumps(score.to_row())) for key, score in scores.items() if not score.failed
        ]
        with self._usable() as file, file:
            file.executemany("INSERT OR REPLACE INTO verdicts VALUES (?, ?)", rows)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._file.close()

    @contextmanager
    def _usable(self) -> Iterator[sqlite3.Connection]:
        """The file, for one thread; NotReadyError when it is locked or damaged."""
        with self._lock:
            try:
                yield self._file
            except sqlite3.Error as error:
                raise NotReadyError(
                    f"{self.path}: reward.cache cannot be used ({error}); name another file"
                ) from error


def _opened(path: Path, patience_s: float) -> sqlite3.Connection:
    """The file with its table; closed again if it is not usable."""
    file = sqlite3.connect(path, timeout=patience_s, check_same_thread=False)
    try:
        # Readers and a writer at once; a power cut may cost verdicts, never the file.
        file.execute("PRAGMA journal_mode=WAL")
        file.execute("PRAGMA synchronous=NORMAL")
        file.execute(
            "CREATE TABLE IF NOT EXISTS verdicts (key BLOB PRIMARY KEY, score TEXT) WITHOUT ROWID"
        )
    except sqlite3.Error:
        file.close()
        raise
    return file


def _score(text: str) -> Score | None:
    try:
        score = Score(**json.loads(text))
    except (ValueError, TypeError, RecursionError):
        return None

    # The file is the user's, and may come from another version, or from an editor.
    is_whole = score.outcome in ("value", "abstain") and isinstance(score.value, float | None)
    return score if is_whole and isinstance(score.answer, str | None) else None


@cache
def _environment() -> str:
    """All installed packages: another version of a library may give other verdicts."""
    return repr(sorted({f"{d.name} {d.version}" for d in importlib.metadata.distributions()}))
