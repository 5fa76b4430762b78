"""The search of a round, guided by the step scorer that the round before trained."""

from rlsp_cli.recipe.load import resolve_recipe
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.rewards.registry import resolve_options

_NAME = "round_scorer"
"""Of the scorer among the recipe's models."""


def guided_by(recipe: Recipe, scorer: str) -> Recipe:
    """The recipe with the process reward model in a folder as the scorer of `rounds.search`."""
    data = recipe.model_dump(mode="json")
    data["models"][_NAME] = {"path": scorer}
    data["rounds"]["search"]["scorer"] = {"use": "prm", "model": _NAME}
    return resolve_recipe(data, plugins=resolve_options)
