"""Every file name that rlsp writes into a run folder."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class AnswerPaths:
    """The files of one model's answers on one bench."""

    root: Path

    @property
    def samples(self) -> Path:
        """Scored responses."""
        return self.root / "samples.jsonl"

    @property
    def waiting(self) -> Path:
        """Answers that are still to be scored; removed when all are."""
        return self.root / "waiting.jsonl"

    @property
    def scores(self) -> Path:
        """Scores of a `scorer` for the sampled responses, made when all are there."""
        return self.root / "scores.jsonl"

    @property
    def trees(self) -> Path:
        """What the strategy `search` sampled and scored, step by step."""
        return self.root / "trees.jsonl"

    @property
    def protocol(self) -> Path:
        """How they were made; a restart goes on only in the same way."""
        return self.root / "protocol.json"


@dataclass(frozen=True)
class StagePaths:
    """The files of one stage (`sft`, `ppo`, `eval`) of a run."""

    root: Path

    @property
    def job(self) -> Path:
        return self.root / "job.json"

    @property
    def metrics(self) -> Path:
        return self.root / "metrics.jsonl"

    @property
    def rollouts(self) -> Path:
        return self.root / "rollouts.jsonl"

    @property
    def checkpoints(self) -> Path:
        return self.root / "checkpoints"

    @property
    def final(self) -> Path:
        """The stage's trained model in the Hugging Face layout."""
        return self.checkpoints / "final"

    @property
    def trackers(self) -> Path:
        """Ids of this stage's runs in trackers, by which it continues them."""
        return self.root / "trackers.json"

    def checkpoint(self, step: int) -> Path:
        """Checkpoint after `step` steps, from which the stage can go on."""
        return self.checkpoints / f"step-{step:06d}"

    def exported(self, step: int) -> Path:
        """Model after `step` steps in the Hugging Face layout, kept to be evaluated."""
        return self.checkpoints / f"model-{step:06d}"

    def all_exported(self) -> dict[int, Path]:
        """The models that were exported, by their step, in its order."""
        found = {}
        for folder in self.checkpoints.glob("model-*"):
            found[int(folder.name.removeprefix("model-"))] = folder
        return dict(sorted(found.items()))

    @property
    def results(self) -> Path:
        """Results of the eval stage."""
        return self.root / "results.json"

    @property
    def server_log(self) -> Path:
        """Output of the servers that sampled in this stage."""
        return self.root / "vllm.log"

    @property
    def served(self) -> Path:
        """Weights on their way to a server; removed at the end."""
        return self.root / "served"

    def attempt(self, number: int) -> Path:
        """Folder of one start: `command`, `stdout.log`, `stderr.log`, `error.json`."""
        return self.root / "attempts" / str(number)

    def answers(self, model: str, bench: str) -> "AnswerPaths":
        """One model on one bench."""
        return AnswerPaths(self.root / model / bench)


@dataclass(frozen=True)
class RunPaths:
    """The files of one run."""

    root: Path

    @property
    def recipe(self) -> Path:
        """The recipe file as the user wrote it."""
        return self.root / "recipe.yaml"

    @property
    def extended(self) -> Path:
        """The recipe files that it extends, as they were written, `N-NAME.yaml`."""
        return self.root / "extends"

    @property
    def resolved(self) -> Path:
        """The complete recipe, runnable again."""
        return self.root / "resolved.yaml"

    @property
    def manifest(self) -> Path:
        return self.root / "manifest.json"

    @property
    def status(self) -> Path:
        return self.root / "status.json"

    @property
    def report_html(self) -> Path:
        return self.root / "report.html"

    @property
    def report_json(self) -> Path:
        return self.root / "report.json"

    def stage(self, name: str) -> StagePaths:
        return StagePaths(self.root / name)

    def round(self, number: int) -> "RunPaths":
        """A round of a run with `rounds`, which is a run of its own."""
        return RunPaths(self.root / f"round-{number}")
