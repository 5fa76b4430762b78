"""How `data.heldout` is answered while PPO trains, on every backend."""

from rlsp_cli.evals.benches import Sampling
from rlsp_cli.recipe.ppo import Ppo
from rlsp_cli.recipe.schema import Recipe


def curve_sampling(recipe: Recipe, ppo: Ppo) -> Sampling:
    """Temperature and samples of `eval`, else a sample at PPO's temperature; PPO's limits."""
    given = Sampling().under(recipe.eval) if recipe.eval else None
    return Sampling(
        samples=max(given.samples, 1) if given else 1,
        temperature=given.temperature if given else ppo.temperature,
        max_new_tokens=ppo.max_new_tokens,
    )
