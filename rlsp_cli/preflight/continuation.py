"""A trial of the continuation on a turn without words: what it lacks on this machine shows at once."""

from collections.abc import Iterator, Sequence

from rlsp_cli.errors import PluginError
from rlsp_cli.recipe.issue import Issue, Note
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.rewards.continuing import Continuer
from rlsp_cli.rewards.model_use import models_of
from rlsp_cli.rewards.sample import Sample
from rlsp_cli.rewards.turns import MODEL, Turn, Turns


def look_at_continuation(recipe: Recipe, stages: Sequence[str]) -> Iterator[Issue]:
    """An issue if it breaks, or cannot work here; a note if it asks a model and was not tried."""
    use = recipe.continuation
    if use is None or not {"ppo", "eval"} & set(stages):
        return
    if models_of("continuation", use, recipe.plugins):
        yield Note("continuation", f"{use.use} asks a model and was not tried")
        return

    sample = Sample("", "", turns=Turns((Turn(MODEL, ""),)))
    limits = recipe.reward.model_copy(update={"workers": 1})
    try:
        with Continuer(use, limits, recipe.plugins) as continuer:
            (reply,) = continuer.ask([sample])
    except PluginError as error:
        yield Issue("continuation", str(error))
        return
    if reply.outcome in ("error", "timeout"):
        yield Issue("continuation", f"{use.use}: {reply.outcome}: {reply.reason}")
