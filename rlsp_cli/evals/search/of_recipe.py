"""The search that a recipe asks for in `eval.search`, around a model that is open."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rlsp_cli.evals.samplers.sampler import Sampler
from rlsp_cli.evals.search.grow import Search
from rlsp_cli.evals.search.log import TreeLog
from rlsp_cli.evals.search.policy import Policy
from rlsp_cli.evals.search.sampler import SearchSampler
from rlsp_cli.evals.search.scoring import StepScoring
from rlsp_cli.recipe.issue import Issue
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.recipe.search import SearchUse
from rlsp_cli.rewards.call import Use
from rlsp_cli.rewards.models import NO_MODELS, Addresses
from rlsp_cli.rewards.pool import Pool
from rlsp_cli.rewards.registry import get_plugin


@contextmanager
def recipe_search(
    recipe: Recipe,
    sampler: Sampler,
    trees: Path,
    tick: Callable[[], None],
    models: Addresses = NO_MODELS,
) -> Iterator[SearchSampler | None]:
    """A sampler that searches as `eval.search` says, while its scorer's processes run.

    None where the recipe does not name the strategy. Steps are kept in the file `trees`; a scorer
    can ask `models`.
    """
    use = recipe.eval.search if recipe.eval else None
    if use is None:
        yield None
        return

    policy = Policy(use.use, use.options, recipe.plugins)
    with ExitStack() as running:
        scorer = _scoring(use, recipe, models, running)
        yield SearchSampler(Search(sampler, policy, scorer, use, TreeLog(trees), tick))


def check_search(recipe: Recipe) -> Iterator[Issue]:
    """An issue if the scorer of `eval.search` reads the reference, which no strategy may see."""
    use = recipe.eval.search if recipe.eval else None
    scorer = use.scorer if use else None
    if scorer is None:
        return

    plugin = get_plugin("step_scorer", scorer.use, recipe.plugins)
    if plugin.needs_reference:
        message = f"{plugin.name} reads the reference, which no strategy may see"
        yield Issue("eval.search.scorer", message, "search by a step scorer that does without")


def _scoring(
    search: SearchUse, recipe: Recipe, models: Addresses, running: ExitStack
) -> StepScoring | None:
    """The scorer in its processes, under the limits of the recipe's `reward`."""
    named = search.scorer
    if named is None:
        return None

    plugin = get_plugin("step_scorer", named.use, recipe.plugins)
    use = Use(
        "step_scorer",
        named.use,
        named.options,
        tuple(recipe.plugins),
        digest=plugin.digest,
        timeout_s=named.timeout_s,
        steps=search.steps,
    )
    limits = recipe.reward
    pool = Pool([use], limits.workers, limits.timeout_s, limits.memory_gb, models=models)
    return StepScoring(use, running.enter_context(pool), limits.failure_limit)
