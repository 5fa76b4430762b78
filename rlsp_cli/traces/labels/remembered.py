"""What was asked of models, in a file, so that an interrupted command asks nothing twice."""

import hashlib
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from rlsp_cli.runs.stream import append_rows, read_rows


class _Row(BaseModel):
    """A row of the file."""

    question: str
    answer: dict[str, Any]


class Remembered:
    """Answers by their question, kept in a file as they come; for several threads.

    An answer is a JSON object; its `tokens` are what models have read and written for it.
    """

    def __init__(self, path: Path) -> None:
        self.path, self._writing = path, threading.Lock()
        self._known: dict[str, dict[str, Any]] = {
            row["question"]: row["answer"] for row in read_rows(path, _Row)
        }
        self._used: dict[str, int] = {}

    @property
    def questions(self) -> int:
        """How many answers were used, those of an earlier command among them."""
        return len(self._used)

    @property
    def tokens(self) -> int:
        """What models have read and written for the answers that were used."""
        return sum(self._used.values())

    def get(self, question: object, ask: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The answer to a question, which is all that the answer depends on."""
        text = json.dumps(question, sort_keys=True, default=str)
        digest = hashlib.sha256(text.encode()).hexdigest()
        if digest not in self._known:
            self._keep(digest, ask())

        answer = self._known[digest]
        self._used[digest] = answer["tokens"]
        return answer

    def _keep(self, digest: str, answer: dict[str, Any]) -> None:
        # Written at once: a kill loses at most what is being asked.
        with self._writing:
            append_rows(self.path, [{"question": digest, "answer": answer}])
            self._known[digest] = answer
