"""A job of `rlsp data traces`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rlsp_cli.recipe.selector_use import SelectorUse
from rlsp_cli.traces.keys import TraceSettings


@dataclass(frozen=True)
class TraceJob:
    """Traces to make, from which sources and into which file.

    `command` is the command line, for the card; `limit` the most rows to read of each source;
    `selector` chooses among the solutions of each problem.
    """

    sources: Sequence[str]
    out: Path
    command: str
    settings: TraceSettings
    limit: int | None = None
    selector: SelectorUse | None = None

    @property
    def drafts(self) -> Path:
        """Folder of sampled responses, so that an interrupted command resumes."""
        return self.out.with_suffix(".drafts")

    @property
    def trees(self) -> Path:
        """Folder of trees, which stays."""
        given = self.settings.trees
        return Path(given) if given else self.out.with_suffix(".trees")
