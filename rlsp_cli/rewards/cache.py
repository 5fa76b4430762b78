"""Verdicts that were given before, in a SQLite file that runs and processes of one machine can share."""

import hashlib
import importlib.metadata
import json
import sqlite3
import threading
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path

from rlsp_cli.errors import NotReadyError
from rlsp_cli.rewards.process import Use
from rlsp_cli.rewards.sample import Sample, Score

_UNSEEN = ("id", "step")
"""What a verdict does not depend on."""


class VerdictCache:
    """Keeps values and abstentions; what failed is tried again. Usable from any thread."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = sqlite3.connect(path, timeout=60, check_same_thread=False)
            self._file.execute("PRAGMA journal_mode=WAL")
            self._file.execute("PRAGMA synchronous=NORMAL")  # a power cut may cost verdicts, never the file
            self._file.execute("CREATE TABLE IF NOT EXISTS verdicts (key BLOB PRIMARY KEY, score TEXT) WITHOUT ROWID")
        except (OSError, sqlite3.Error) as error:
            raise NotReadyError(f"{path}: not usable as reward.cache ({error}); name another file") from error

    def key(self, use: Use, sample: Sample) -> bytes:
        """Of the plugin's source, its options, all installed packages, and all that the plugin sees."""
        seen = {name: value for name, value in asdict(sample).items() if name not in _UNSEEN}
        parts = [use.name, use.digest, use.options, _environment(), seen]
        return hashlib.blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=16).digest()

    def get(self, keys: Iterable[bytes]) -> dict[bytes, Score]:
        """The scores that are there."""
        with self._lock:
            rows = [
                self._file.execute("SELECT key, score FROM verdicts WHERE key = ?", (key,)).fetchone() for key in keys
            ]
        return {key: Score(**json.loads(text)) for key, text in filter(None, rows)}

    def put(self, scores: Mapping[bytes, Score]) -> None:
        """Keep the scores that did not fail."""
        rows = [(key, json.dumps(score.to_row())) for key, score in scores.items() if not score.failed]
        with self._lock, self._file:
            self._file.executemany("INSERT OR REPLACE INTO verdicts VALUES (?, ?)", rows)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._file.close()


@cache
def _environment() -> str:
    """Another version of a library may judge otherwise."""
    return repr(sorted({f"{d.name} {d.version}" for d in importlib.metadata.distributions()}))
