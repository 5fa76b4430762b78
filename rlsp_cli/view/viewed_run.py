"""One run as the page shows it: its state, and its files, which may still appear and grow."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rlsp_cli.errors import RlspError
from rlsp_cli.report.cells import share_cell
from rlsp_cli.report.evaluation import KINDS, parts_of
from rlsp_cli.report.outcome import outcome
from rlsp_cli.report.summary import read_results
from rlsp_cli.rewards.lexicon import load_lexicon
from rlsp_cli.runs.paths import RunPaths
from rlsp_cli.runs.run import open_run
from rlsp_cli.runs.shapes import Manifest, Status
from rlsp_cli.runs.stream import read_json
from rlsp_cli.view.metrics_file import MetricsFile
from rlsp_cli.view.row_file import RowFile

STAGES = ("sft", "ppo")
"""Stages whose metrics are curves."""


class ViewedRun:
    """A run folder; files keep their numbers while it is looked at, whatever appears later."""

    def __init__(self, root: Path, name: str) -> None:
        self.root, self.name, self.note = root.absolute(), name, ""
        self.paths = RunPaths(self.root)
        self.files: list[RowFile] = []
        self.metrics = {stage: MetricsFile(self.paths.stage(stage).metrics) for stage in STAGES}
        self._lexicon = load_lexicon(self._lexicon_path())

    def described(self) -> dict[str, Any]:
        """What the page asks for again and again, to see what has changed."""
        self._find_files()
        return {
            "name": self.name,
            "root": str(self.root),
            "note": self.note,
            "behaviours": list(self._lexicon.behaviours),
            "stages": [stage for stage, file in self.metrics.items() if file.path.exists()],
            "files": [self._file(file) for file in self.files],
            **self._documents(),
        }

    def _lexicon_path(self) -> str | None:
        try:
            return open_run(self.root).recipe.reward.lexicon
        except RlspError as error:
            # Its responses can be looked at without its recipe, for example without its plugins.
            self.note = f"its recipe cannot be read, words are those of rlsp's lexicon: {error}"
            return None

    def _find_files(self) -> None:
        known = {file.path for file in self.files}
        for path in self._row_paths():
            if path not in known:
                self.files.append(RowFile(path, self._lexicon))

    def _row_paths(self) -> Iterator[Path]:
        rollouts = self.paths.stage("ppo").rollouts
        if rollouts.exists():
            yield rollouts

        # By the time of the file, since models are evaluated one after the other.
        found = self.paths.stage("eval").root.glob("*/*/samples.jsonl")
        yield from sorted(found, key=lambda path: path.stat().st_mtime)

    def _file(self, file: RowFile) -> dict[str, Any]:
        if file.path == self.paths.stage("ppo").rollouts:
            return {"model": "ppo", "bench": None, "trees": False}

        folder = file.path.parent
        return {
            "model": folder.parent.name,
            "bench": folder.name,
            "trees": file.trees.exists(),
        }

    def _documents(self) -> dict[str, Any]:
        """What manifest, status and results say; their errors are shown and hide nothing else."""
        try:
            manifest = read_json(self.paths.manifest, Manifest)
            status = Status.model_validate(read_json(self.paths.status, Status))
            results = read_results(self.paths.stage("eval").results)
        except RlspError as error:
            return {"state": "unknown", "created": "", "message": str(error)}

        accuracy = [
            [part.model, part.bench, KINDS[part.kind], share_cell(part.metrics.accuracy)]
            for part in parts_of(results)
        ]
        return {
            "state": _state(status),
            "created": manifest["created"],
            "message": status.message or "",
            "outcome": outcome(results),
            "accuracy": accuracy,
        }


def _state(status: Status) -> str:
    """`done`, or what each stage is."""
    stages = ", ".join(f"{stage} {state}" for stage, state in status.stages.items())
    return stages or status.state
