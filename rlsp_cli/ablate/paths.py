"""Every file name in an ablation's folder; the runs in it are ordinary run folders."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class AblationPaths:
    """The files of one ablation."""

    root: Path

    @property
    def manifest(self) -> Path:
        """What is varied, from which recipe and seeds."""
        return self.root / "ablation.json"

    @property
    def report_json(self) -> Path:
        """The comparison."""
        return self.root / "report.json"

    @property
    def report_markdown(self) -> Path:
        """Its table, to paste."""
        return self.root / "report.md"

    @property
    def report_html(self) -> Path:
        """Its page."""
        return self.root / "report.html"

    @property
    def tasks(self) -> Path:
        """The commands of a Slurm array, one for each task."""
        return self.root / "slurm" / "tasks.json"

    @property
    def script(self) -> Path:
        """The batch script of a Slurm array."""
        return self.root / "slurm" / "array.sbatch"

    def run(self, arm: str, seed: int) -> Path:
        """The run of an arm from a seed."""
        return self.root / arm / f"seed-{seed}"

    def log(self, arm: str, seed: int) -> Path:
        """What `rlsp run` printed for it."""
        return self.root / arm / f"seed-{seed}.log"
