"""The sections of a recipe that a stage cannot be without, as the schema has made sure."""

from collections.abc import Iterable

from rlsp_cli.recipe.ppo import Ppo
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.recipe.sft import Sft


def sft_section(recipe: Recipe) -> Sft:
    """`sft` of a recipe whose SFT stage is checked, compiled or run."""
    assert recipe.sft, "only a recipe with sft has an SFT stage"
    return recipe.sft


def ppo_section(recipe: Recipe) -> Ppo:
    """`ppo` of a recipe whose PPO stage is checked, compiled or run."""
    assert recipe.ppo, "only a recipe with ppo has a PPO stage"
    return recipe.ppo


def data_keys(recipe: Recipe, role: str, keys: Iterable[str]) -> tuple[str, ...]:
    """These keys of `data.<role>`; of a mixture the whole, whose sources may have other keys."""
    whole = f"data.{role}"
    if whole in recipe.data.sources(role):
        return tuple(f"{whole}.{key}" for key in keys)
    return (whole,)
