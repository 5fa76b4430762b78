"""What a valid recipe asks for that its backends, or the world around them, cannot give."""

from collections.abc import Iterator

from rlsp_cli import backends
from rlsp_cli.errors import PluginError
from rlsp_cli.evals.benches import check_benches
from rlsp_cli.evals.continuation import check_continuation
from rlsp_cli.evals.overlap import check_overlap
from rlsp_cli.evals.search import check_search
from rlsp_cli.evals.strategies import check_scorer
from rlsp_cli.evals.thinking import check_thinking
from rlsp_cli.recipe.issue import Issue
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.rewards.lexicon import load_lexicon
from rlsp_cli.rewards.model_use import check_models


def check_recipe(recipe: Recipe) -> list[Issue]:
    """Issues of backends, benches, scorer, thinking, models and lexicon, and of training on a bench's problems."""
    return [
        *backends.check(recipe),
        *check_benches(recipe),
        *check_scorer(recipe),
        *check_search(recipe),
        *check_continuation(recipe),
        *check_thinking(recipe),
        *check_models(recipe),
        *_check_lexicon(recipe),
        *check_overlap(recipe),
    ]


def _check_lexicon(recipe: Recipe) -> Iterator[Issue]:
    try:
        load_lexicon(recipe.reward.lexicon)
    except PluginError as error:
        yield Issue("reward.lexicon", str(error))
