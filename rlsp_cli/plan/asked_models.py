"""Memory of the models that plugins ask, beside what a stage holds itself."""

from collections.abc import Iterator

from rlsp_cli.backends.vllm.parallel import weights_of
from rlsp_cli.plan.estimate import GIB
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.rewards.model_use import model_uses

_FLOAT_BYTES = 4
"""A weight as it is loaded; on a GPU half of it stays."""


def asked_models(recipe: Recipe) -> Iterator[str]:
    """A line for each model that a plugin asks and that is loaded for it."""
    for name in sorted({use.model for use in model_uses(recipe)} & set(recipe.models)):
        model = recipe.models[name]
        if model.path is None:
            continue
        weights = weights_of(model.path, _FLOAT_BYTES)
        size = f"{weights / GIB:.2g} GiB" if weights else "an unknown size"
        yield f"models.{name}: served beside the stages that ask it, weights of {size}"
