"""The sections of a recipe that a stage cannot be without, as the schema has made sure."""

from rlsp_cli.recipe.schema import Ppo, Prompts, Recipe, Sft, Traces


def sft_section(recipe: Recipe) -> Sft:
    """`sft` of a recipe whose SFT stage is checked, compiled or run."""
    assert recipe.sft, "only a recipe with sft has an SFT stage"
    return recipe.sft


def ppo_section(recipe: Recipe) -> Ppo:
    """`ppo` of a recipe whose PPO stage is checked, compiled or run."""
    assert recipe.ppo, "only a recipe with ppo has a PPO stage"
    return recipe.ppo


def traces_section(recipe: Recipe) -> Traces:
    """`data.traces` of a recipe with an SFT stage."""
    assert recipe.data.traces, "the schema asks for data.traces beside sft"
    return recipe.data.traces


def prompts_section(recipe: Recipe) -> Prompts:
    """`data.prompts` of a recipe with a PPO stage."""
    assert recipe.data.prompts, "the schema asks for data.prompts beside ppo"
    return recipe.data.prompts
