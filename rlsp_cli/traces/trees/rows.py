"""Rows of other shapes than traces have, which the filters of traces take as well."""

from dataclasses import dataclass, fields
from typing import Any

from rlsp_cli.data.raw_trace import RawTrace


@dataclass(frozen=True)
class PairTrace(RawTrace):
    """A pair for preference training; `solution` is the better response."""

    rejected: str = ""

    @property
    def learned(self) -> str:
        """Both responses."""
        return f"{self.solution.strip()}\n{self.rejected.strip()}"

    def to_row(self) -> dict[str, Any]:
        """A row as `preference_rows` reads it."""
        answer = {} if self.answer is None else {"answer": self.answer}
        return {
            **self.metadata,
            "id": self.id,
            "prompt": self.problem,
            "chosen": self.solution,
            "rejected": self.rejected,
            **answer,
        }


def pair_of(row: RawTrace) -> PairTrace:
    """A pair that was read as a trace: the worse response is among its other columns."""
    others = dict(row.metadata)
    rejected = str(others.pop("rejected"))
    own = {field.name: getattr(row, field.name) for field in fields(RawTrace)}
    return PairTrace(**{**own, "metadata": others}, rejected=rejected)


@dataclass(frozen=True)
class StepTrace(RawTrace):
    """A response with labelled steps; `prompt` is the text that the model continued."""

    prompt: str = ""
    steps: tuple[str, ...] = ()
    labels: tuple[float, ...] = ()

    def to_row(self) -> dict[str, Any]:
        """A row as `step_rows` reads it."""
        return {
            "id": self.id,
            "prompt": self.prompt,
            "completions": list(self.steps),
            "labels": list(self.labels),
        }
