"""The search of `rlsp data traces`, as one of its filters."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rlsp_cli.backends.served_models import served_models
from rlsp_cli.data.returns import Returns
from rlsp_cli.errors import DataError, UsageError
from rlsp_cli.evals.search import scorer_fault
from rlsp_cli.recipe.data import Data
from rlsp_cli.recipe.load import refusal
from rlsp_cli.recipe.plugin_ref import complete_search
from rlsp_cli.recipe.reward import Reward
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.recipe.search import TreeSearch
from rlsp_cli.rewards.model_use import models_of
from rlsp_cli.rewards.models import NO_MODELS
from rlsp_cli.rewards.registry import resolve_options
from rlsp_cli.runs.lock import locked
from rlsp_cli.traces.filters import Filter, Tick
from rlsp_cli.traces.keys import RejectionSampling
from rlsp_cli.traces.sampling import open_sampler
from rlsp_cli.traces.trees import Verify, tree_files, tree_sampler


def refuse_search(
    search: TreeSearch, sample: RejectionSampling | None, *, has_selector: bool
) -> None:
    """UsageError for what can be said before anything is read."""
    if sample is None:
        raise UsageError("search: which model is searched? name it, sample.model=MODEL")
    if "samples" in sample.model_fields_set:
        raise UsageError("sample.samples: a search grows one tree for each problem; leave it out")
    if sample.continuation is not None:
        raise UsageError("sample.continuation: a search grows replies of one turn; leave it out")
    if sample.start is not None:
        raise UsageError("sample.start: a search grows replies from nothing; leave it out")
    if has_selector and search.write in ("pairs", "values"):
        raise UsageError(f"--select: chooses among traces, not {search.write}; leave it out")


@contextmanager
def telling_of_trees(folder: Path) -> Iterator[None]:
    """Add to a DataError where the trees are, if there are any."""
    try:
        yield
    except DataError as error:
        kept = f"; the trees are kept in {folder}" if tree_files(folder) else ""
        raise DataError(f"{error}{kept}") from error


@contextmanager
def tree_filter(
    search: TreeSearch,
    sample: RejectionSampling,
    folder: Path,
    *,
    recipe: Recipe | None,
    reward: Reward,
    verify: Verify,
    tick: Tick,
) -> Iterator[Filter]:
    """The filter that searches and writes what the trees hold, which stay in `folder`.

    The recipe has the prompt, plugin files, and the models that the step scorer asks; `reward` has
    the limits of its processes.
    """
    data, files = (recipe.data, recipe.plugins) if recipe else (Data(), ())
    whole = _completed(search, files)
    asked = models_of("step_scorer", whole.scorer, files).values() if whole.scorer else ()
    if asked and recipe is None:
        name = next(iter(asked))
        raise UsageError(f"search.scorer asks {name!r}; name its recipe, decontaminate=RECIPE")
    Returns(whole.returns)  # a file that cannot be read is told before a model is loaded

    with ExitStack() as running:
        running.enter_context(locked(folder))
        models = running.enter_context(served_models(recipe, asked)) if recipe else NO_MODELS
        sampler, prompt = open_sampler(sample.model, sample.url, data)
        searching = tree_sampler(
            sampler,
            whole,
            model=f"{sample.model} {sample.url}",
            reward=reward,
            verify=verify,
            prompt=prompt,
            folder=folder,
            decoding=sample.decoding(),
            files=files,
            models=models,
            system=data.system,
            tick=tick,
        )
        trees = running.enter_context(searching)
        yield lambda rows: trees.sample(rows).filtered


def _completed(search: TreeSearch, files: Sequence[str]) -> TreeSearch:
    """The search with all options of its plugins; RecipeError if one is wrong."""
    data = search.model_dump(mode="json")
    if issues := complete_search(data, "search", resolve_options, files):
        raise refusal(issues, {}, "search")
    if fault := scorer_fault(search, files):
        raise UsageError(f"search.scorer: {fault}; search by one that does without")
    return TreeSearch.model_validate(data)
