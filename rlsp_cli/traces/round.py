"""A round of self-training, as its traces are made."""

from dataclasses import dataclass
from pathlib import Path

from rlsp_cli.recipe.rounds import Rounds
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.runs.paths import StagePaths
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
