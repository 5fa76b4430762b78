"""What `rlsp data steps` is to do."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rlsp_cli.recipe.plugin_use import ExplorationUse
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.recipe.steps import Steps
from rlsp_cli.rewards.model_use import models_of

Label = Literal["mc", "sorm", "binary", "judge", "consensus", "mutation", "partial", "refine"]
_LINES = Steps()


@dataclass(frozen=True)
class LabelJob:
    """Responses to label, and how.

    `samples` is a file of responses, None for the recipe's traces. `model` names the model that
    completes (one of `models`), `completions` of each prefix, and `critic` the one that explains
    and rewrites steps. `scorer` is the judge, a step is
    right from `threshold`. `soft` labels are values instead of right and wrong. `searches` is the
    most for a problem. `merge` adds rows with two steps in one. `command` is for the card.
    """

    recipe: Recipe
    label: Label
    out: Path
    samples: Path | None = None
    steps: Steps = _LINES
    model: str | None = None
    completions: int = 8
    critic: str | None = None
    soft: bool = False
    searches: int = 8
    scorer: ExplorationUse | None = None
    threshold: float = 0.5
    merge: bool = False
    command: str = ""

    @property
    def asks_model(self) -> bool:
        """Whether a model completes prefixes."""
        return self.label in ("mc", "sorm", "binary", "consensus", "refine")

    @property
    def asks_scorer(self) -> bool:
        """Whether a step scorer judges."""
        return self.label in ("judge", "consensus", "refine")

    @property
    def asks_critic(self) -> bool:
        """Whether a model explains and rewrites steps."""
        return self.label == "refine"

    @property
    def models(self) -> set[str]:
        """The recipe's models that are asked: the one that completes, and the plugins' own."""
        files = self.recipe.plugins
        found = {*models_of("verifier", self.recipe.reward.correctness, files).values()}
        if self.asks_scorer and self.scorer:
            found |= {*models_of("step_scorer", self.scorer, files).values()}
        if self.asks_model and self.model:
            found.add(self.model)
        if self.asks_critic and self.critic:
            found.add(self.critic)
        return found

    @property
    def card_to_read(self) -> Path:
        """The Markdown card, beside the rows."""
        return self.out.with_suffix(".card.md")

    @property
    def card_json(self) -> Path:
        """The JSON card, beside the rows."""
        return self.out.with_suffix(".card.json")

    @property
    def drafts(self) -> Path:
        """Folder of what models have answered, so that an interrupted command resumes."""
        return self.out.with_suffix(".drafts")

    def settings(self) -> dict[str, Any]:
        """What the labels depend on, as plain data."""
        found: dict[str, Any] = {"label": self.label, "steps": self.steps.by}
        if self.asks_model:
            found |= {"model": self.model, "completions": self.completions}
        if self.asks_critic:
            found["critic"] = self.critic
        if self.label == "binary":
            found["searches"] = self.searches
        if self.asks_scorer and self.scorer:
            found |= {"scorer": {"use": self.scorer.use, **self.scorer.options}}
            found["threshold"] = self.threshold
        return {**found, "soft": self.soft, "merge": self.merge}
