"""A trace as it is read from a source, before filters decide whether it is kept."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class RawTrace:
    """A problem, a solution to imitate, and the reference answer where the source has one.

    `place` says where it was read. `length` is the solution's length in tokens or words, 0 until
    the filter for length has counted them.
    """

    place: str
    id: str
    problem: str
    solution: str
    answer: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    length: int = 0

    @property
    def learned(self) -> str:
        """What training learns of it; of rows with the same, one is enough."""
        return self.solution.strip()

    def to_row(self) -> dict[str, Any]:
        """A row of traces.jsonl: the source's other columns, then ours."""
        answer = {} if self.answer is None else {"answer": self.answer}
        return {
            **self.metadata,
            "id": self.id,
            "problem": self.problem,
            "solution": self.solution,
            **answer,
        }
