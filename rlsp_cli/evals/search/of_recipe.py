"""The search that a recipe asks for in `eval.search`, around a model that is open."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rlsp_cli.evals.samplers.sampler import Sampler
from rlsp_cli.evals.search.grow import Search
from rlsp_cli.evals.search.log import TreeLog
from rlsp_cli.evals.search.policy import Policy
from rlsp_cli.evals.search.sampler import SearchSampler
from rlsp_cli.evals.search.scoring import StepScoring
from rlsp_cli.recipe.issue import Issue
from rlsp_cli.recipe.reward import Reward
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
        scorer = step_scoring(use, recipe.reward, recipe.plugins, models, running)
        yield SearchSampler(Search(sampler, policy, scorer, use, TreeLog(trees), tick))


def check_search(recipe: Recipe) -> Iterator[Issue]:
    """An issue for each search whose scorer reads the reference, which no search shows it."""
    for place, use in searches_of(recipe).items():
        if fault := scorer_fault(use, recipe.plugins):
            yield Issue(f"{place}.scorer", fault, "search by a step scorer that does without")


def searches_of(recipe: Recipe) -> dict[str, SearchUse]:
    """The searches of a recipe, by their keys."""
    found = {
        "eval.search": recipe.eval.search if recipe.eval else None,
        "rounds.search": recipe.rounds.search if recipe.rounds else None,
    }
    return {place: use for place, use in found.items() if use is not None}


def scorer_fault(search: SearchUse, files: Sequence[str]) -> str | None:
    """Why the scorer of a search cannot be used, if it cannot; `files` are plugin files."""
    if search.scorer is None:
        return None
    plugin = get_plugin("step_scorer", search.scorer.use, files)
    reads = f"{plugin.name} reads the reference, which no search shows it"
    return reads if plugin.needs_reference else None


def step_scoring(
    search: SearchUse,
    limits: Reward,
    files: Sequence[str],
    models: Addresses,
    running: ExitStack,
) -> StepScoring | None:
    """The scorer of a search in its processes, which end with `running`; None if it names none.

    `limits` has the workers and the deadline, and `files` are plugin files.
    """
    named = search.scorer
    if named is None:
        return None

    plugin = get_plugin("step_scorer", named.use, files)
    use = Use(
        "step_scorer",
        named.use,
        named.options,
        tuple(files),
        digest=plugin.digest,
        timeout_s=named.timeout_s,
        steps=search.steps,
    )
    pool = Pool([use], limits.workers, limits.timeout_s, limits.memory_gb, models=models)
    return StepScoring(use, running.enter_context(pool), limits.failure_limit)
