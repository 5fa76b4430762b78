"""Rewards that compare the responses to one prompt, where there is only one."""

from collections.abc import Iterator

from rlsp_cli.recipe.issue import Issue
from rlsp_cli.recipe.ppo import Ppo
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.rewards.registry import get_plugin


def single_response_groups(recipe: Recipe, ppo: Ppo) -> Iterator[Issue]:
    """An issue for each such reward: a group of one has nothing to compare."""
    for number, use in enumerate(recipe.reward.exploration):
        plugin = get_plugin(use.kind, use.use, recipe.plugins)
        if plugin.takes_group and ppo.samples_per_prompt < 2:
            compares = f"{plugin.name} compares the responses to one prompt"
            message = f"{compares}, and ppo.samples_per_prompt is 1"
            yield Issue(f"reward.exploration.{number}", message, "set it to 2 or more")
