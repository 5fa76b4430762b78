"""The key `tracking`: experiment trackers."""

from typing import Literal

from rlsp_cli.recipe.section import Section


class Tracking(Section):
    """Experiment trackers; their keys and logins come from the environment."""

    to: tuple[Literal["wandb", "mlflow", "trackio", "tensorboard"], ...] = ()
    """Trackers that training sends metrics to, besides metrics.jsonl."""
    project: str | None = None
    """Project there; by default the recipe's name."""
