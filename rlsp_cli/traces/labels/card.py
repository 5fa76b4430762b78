"""The data card: how a file of labelled steps was made, as JSON and as Markdown."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rlsp_cli.traces.labels.labelled import first_error
from rlsp_cli.traces.tally import Tally


@dataclass(frozen=True)
class StepCard:
    """How a file of labelled steps was made.

    `questions` and `tokens` count what was asked of models, and what they have read and written for
    it. `identity` is the SHA-256 of a file of responses.
    """

    file: str
    sha256: str
    created: str
    version: str
    command: str
    source: str
    identity: str | None
    settings: Mapping[str, Any]
    verifier: Mapping[str, Any]
    models: Mapping[str, Any]
    filters: Sequence[Tally]
    rows: Sequence[Mapping[str, Any]] = field(repr=False)
    questions: int
    tokens: int

    @property
    def counts(self) -> dict[str, float]:
        """Rows, steps, the mean of the labels, and rows with an error."""
        labels = [label for row in self.rows for label in row["labels"] if label is not None]
        with_error = sum(first_error(row["labels"]) is not None for row in self.rows)
        return {
            "rows": len(self.rows),
            "problems": len({row["prompt"] for row in self.rows}),
            "steps": len(labels),
            "mean_label": sum(labels) / len(labels),
            "rows_with_error": with_error,
            "questions": self.questions,
            "tokens": self.tokens,
        }

    def to_json(self) -> dict[str, Any]:
        """The facts as plain data."""
        return {
            "file": self.file,
            "sha256": self.sha256,
            "created": self.created,
            "version": self.version,
            "command": self.command,
            "source": {"source": self.source, "identity": self.identity},
            "settings": self.settings,
            "verifier": self.verifier,
            "models": self.models,
            **self.counts,
            "filters": [tally.to_json() for tally in self.filters],
        }

    def to_markdown(self) -> str:
        """The facts as a Markdown page."""
        counts = self.counts
        left_out = [f"- {one.reasons_text}" for one in self.filters if one.reasons]
        lines = [
            f"# Data card of {self.file}\n",
            f"{counts['rows']} responses to {counts['problems']} problems with labels of "
            f"{counts['steps']} steps, made by rlsp {self.version} on {self.created}:\n",
            f"    {self.command}\n",
            "## Labels\n",
            f"- settings: {_inline(self.settings)}",
            f"- mean label: {counts['mean_label']:.3f}; "
            f"rows with a wrong step: {counts['rows_with_error']}",
            f"- asked of models: {self.questions} questions, {self.tokens} tokens read and written",
            f"- models: {_inline(self.models)}",
            f"- verifier: {_inline(self.verifier)}\n",
            "## Source\n",
            f"- {self.source}, SHA-256 {self.identity}" if self.identity else f"- {self.source}",
            "- left out:" if left_out else "- left out: none",
            *(f"  {line}" for line in left_out),
            f"\nSHA-256: {self.sha256}\n",
        ]
        return "\n".join(lines)


def _inline(data: Mapping[str, Any]) -> str:
    return f"`{json.dumps(data, ensure_ascii=False)}`"
