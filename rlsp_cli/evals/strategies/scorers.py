"""What best-of-n and weighted votes choose by: a score that knows no reference and no verdict."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

from rlsp_cli.evals.answer import CONFIDENCE, LOGPROB, Scored
from rlsp_cli.recipe.eval import Eval
from rlsp_cli.recipe.issue import Issue, OptionsError
from rlsp_cli.recipe.plugin_use import ScorerUse
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.rewards.call import Call
from rlsp_cli.rewards.models import NO_MODELS, Addresses
from rlsp_cli.rewards.pool import Pool
from rlsp_cli.rewards.registry import get_plugin, resolve_options
from rlsp_cli.rewards.sample import Sample, Score
from rlsp_cli.rewards.scorer import use_of


def scorer_of(settings: Eval) -> ScorerUse | None:
    """The entry `eval.scorer`; of a plain name with the default options."""
    scorer = settings.scorer
    return ScorerUse(use=scorer) if isinstance(scorer, str) else scorer


def scorer_name(settings: Eval) -> str | None:
    """The name of its scores: of `./file.py:function` the function's."""
    scorer = scorer_of(settings)
    return scorer.use.rpartition(":")[2] if scorer else None


def check_scorer(recipe: Recipe) -> Iterator[Issue]:
    """An issue if `eval.scorer` names nothing, or a step scorer that reads the reference."""
    scorer = scorer_of(recipe.eval) if recipe.eval else None
    if recipe.eval is None or scorer is None or scorer.use in (LOGPROB, CONFIDENCE):
        return

    # Given responses may have `scores` of this name, and their file is not read yet.
    is_name = recipe.eval.scorer == scorer.use and ":" not in scorer.use
    if recipe.eval.responses is not None and is_name:
        return
    try:
        resolve_options(scorer.kind, scorer.use, scorer.options, recipe.plugins)
    except OptionsError as error:
        yield Issue("eval.scorer", str(error), f"or one of {LOGPROB}, {CONFIDENCE}")
        return

    plugin = get_plugin(scorer.kind, scorer.use, recipe.plugins)
    if plugin.kind == "step_scorer" and plugin.needs_reference:
        message = f"{plugin.name} reads the reference, which no strategy may see"
        yield Issue("eval.scorer", message, "choose by a step scorer that does without")


def rescored(
    rows: Sequence[Scored],
    prompts: Mapping[str, str],
    recipe: Recipe,
    served: Addresses = NO_MODELS,
) -> list[tuple[Scored, Score]]:
    """Score each row by the plugin `eval.scorer`.

    Nothing is scored if the rows have such scores already. The plugin runs in worker processes,
    under the limits of the recipe's `reward`, and can ask the models that are `served`. It sees the
    prompt, the response and the answer in it: no reference, no verdict and no column of the bench,
    since a model that answers a question has none of them.
    """
    scorer = scorer_of(recipe.eval) if recipe.eval else None
    if scorer is None or scorer.use in (LOGPROB, CONFIDENCE):
        return []
    if any(scorer.use in row.scores for row in rows):
        return []

    # A reward that takes the group sees all responses to a problem at once, in the order in which
    # strategies take them; any other sees one by one.
    use = use_of(scorer.kind, scorer, recipe.plugins)
    groups: dict[str | int, list[Scored]] = defaultdict(list)
    for number, row in enumerate(sorted(rows, key=lambda row: row.index)):
        groups[row.id if use.takes_group else number].append(row)

    calls = []
    for several in groups.values():
        samples = [_blind(row, prompts[row.id]) for row in several]
        calls.append(Call(use, tuple(samples)))

    limits = recipe.reward
    with Pool([use], limits.workers, limits.timeout_s, limits.memory_gb, models=served) as pool:
        scores = pool.map(calls)
    return list(zip(chain(*groups.values()), chain(*scores), strict=True))


def _blind(row: Scored, prompt: str) -> Sample:
    # No `reference`, no `metadata`: they hold the answer, and for code the tests.
    return Sample(
        prompt=prompt,
        response=row.response,
        id=row.id,
        num_tokens=row.num_tokens,
        truncated=row.truncated,
        answer=row.extracted,
    )
