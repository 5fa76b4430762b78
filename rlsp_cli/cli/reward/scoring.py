"""What the commands of `rlsp reward` share: a recipe's scorer, and its token counter."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rlsp_cli.rewards.registry import resolve_options
from rlsp_cli.terminal import print

if TYPE_CHECKING:
    from rlsp_cli.recipe.schema import Recipe
    from rlsp_cli.rewards.scorer import Scorer


def load(name: str, overrides: list[str]) -> "Recipe":
    """A recipe whose rewards are valid; its stages are not looked at."""
    from rlsp_cli.recipe.load import load_recipe
    from rlsp_cli.recipe.shipped import find_recipe

    return load_recipe(find_recipe(name), overrides, plugins=resolve_options)


@contextmanager
def scorer_of(recipe: "Recipe") -> Iterator["Scorer"]:
    """The recipe's scorer, with the models that its plugins ask."""
    from rlsp_cli.backends.served_models import served_models
    from rlsp_cli.rewards.model_use import models_at
    from rlsp_cli.rewards.scorer import Scorer

    with (
        served_models(recipe, models_at(recipe, "reward")) as models,
        Scorer(recipe.reward, recipe.plugins, models) as scorer,
    ):
        yield scorer


def counter_of(recipe: "Recipe", tokenizer: str | None) -> Callable[[str], int] | None:
    """Counts tokens as the model does; words, with a note, where its tokenizer cannot be loaded."""
    from rlsp_cli.preflight.hub import model_on_hub
    from rlsp_cli.rewards.token_count import token_counter

    name = tokenizer or recipe.model.path
    # Rewards by length should be tried offline too, so counting words is better than failing.
    if name and not Path(name).exists() and (reason := model_on_hub(name)):
        print(f"note: words are counted instead of tokens of {name}: {reason}", file=sys.stderr)
        return lambda text: len(text.split()) + 1  # and the end of sequence

    return token_counter(recipe.model, tokenizer)
