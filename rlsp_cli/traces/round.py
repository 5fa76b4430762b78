"""A round of self-training, as its traces are made."""

from dataclasses import dataclass
from pathlib import Path

from rlsp_cli.evals.stage import RenderPrompt
from rlsp_cli.recipe.rounds import Rounds
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.runs.paths import StagePaths
from rlsp_cli.runs.rounds import VALUES
from rlsp_cli.runs.stream import append_rows
from rlsp_cli.traces.balance import Settings
from rlsp_cli.traces.keys import RejectionSampling


@dataclass(frozen=True)
class Round:
    """A round of a recipe with `rounds`: its number, and the model that solves the problems.

    `earlier` has the traces of the round before, if that sampled some.
    """

    recipe: Recipe
    number: int
    model: str
    paths: StagePaths
    earlier: Path | None = None

    @property
    def rounds(self) -> Rounds:
        """The recipe's section."""
        assert self.recipe.rounds, "a round is one of a recipe with rounds"
        return self.recipe.rounds

    @property
    def traces(self) -> Path:
        """What SFT gets, beside the recipe's own traces."""
        return self.paths.root / "traces.jsonl"

    @property
    def numbers(self) -> Path:
        """What was sampled and kept, as `RoundNumbers`."""
        return self.paths.root / "numbers.json"

    @property
    def values(self) -> Path:
        """The step values of its trees, for a step scorer."""
        return self.paths.root / VALUES

    @property
    def prefers(self) -> bool:
        """Whether SFT learns from pairs of solutions, and not from right ones alone."""
        return self.recipe.sft is not None and self.recipe.sft.kind == "dpo"

    @property
    def pairs_solutions(self) -> bool:
        """Whether its solutions become pairs; a search has paired them already."""
        return self.prefers and self.rounds.search is None

    @property
    def drafts(self) -> Path:
        """All that was sampled; it is kept."""
        return self.paths.root / "drafts"

    @property
    def seed(self) -> int:
        """Another one for each round: models may differ little."""
        return self.recipe.seed + self.number

    @property
    def given(self) -> Settings:
        """How the recipe samples where nothing is tuned."""
        rounds = self.rounds
        return Settings(rounds.temperature, rounds.samples, rounds.threshold)

    def sampling(self, settings: Settings) -> RejectionSampling:
        """The keys of rejection sampling with these settings."""
        return RejectionSampling(
            model=self.model,
            samples=settings.samples,
            temperature=settings.temperature,
            max_new_tokens=self.rounds.max_new_tokens,
        )

    def prompt(self, render: RenderPrompt, problem: str) -> str:
        """What the model is asked."""
        data = self.recipe.data
        return render(data.ask(problem), data.system)

    def tick(self, what: str, done: int, total: int) -> None:
        """Write how many are done into metrics.jsonl, for `rlsp` to show."""
        # Steps are counted from 0, as in training.
        row = {"step": done - 1, "total_steps": total, "text": what}
        append_rows(self.paths.metrics, [row])
