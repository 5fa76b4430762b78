"""What best-of-n and weighted votes choose by: a score that knows no reference and no verdict."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

from rlsp_cli.evals.answer import CONFIDENCE, LOGPROB, Scored
from rlsp_cli.recipe.issue import Issue, OptionsError
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.rewards.call import Call, Use
from rlsp_cli.rewards.pool import Pool
from rlsp_cli.rewards.registry import get_plugin, resolve_options
from rlsp_cli.rewards.sample import Sample, Score


def check_scorer(recipe: Recipe) -> Iterator[Issue]:
    """An issue if `eval.scorer` names nothing."""
    scorer = recipe.eval.scorer if recipe.eval else None
    if recipe.eval is None or scorer in (None, LOGPROB, CONFIDENCE):
        return

    # Given responses may have `scores` of this name, and their file is not read yet.
    if recipe.eval.responses is not None and ":" not in str(scorer):
        return
    try:
        resolve_options("exploration_reward", str(scorer), {}, recipe.plugins)
    except OptionsError as error:
        yield Issue("eval.scorer", str(error), f"or one of {LOGPROB}, {CONFIDENCE}")


def rescored(
    rows: Sequence[Scored], prompts: Mapping[str, str], recipe: Recipe
) -> list[tuple[Scored, Score]]:
    """Score each row by the exploration reward `eval.scorer`.

    Nothing is scored if the rows have such scores already. The reward runs in worker processes,
    under the limits of the recipe's `reward`. It sees the prompt, the response and the answer in
    it: no reference, no verdict and no column of the bench, since a model that answers a question
    has none of them.
    """
    scorer = recipe.eval.scorer if recipe.eval else None
    if scorer in (None, LOGPROB, CONFIDENCE) or any(scorer in row.scores for row in rows):
        return []

    plugin = get_plugin("exploration_reward", str(scorer), recipe.plugins)
    use = Use(
        plugin.kind, str(scorer), {}, tuple(recipe.plugins), plugin.takes_group, plugin.digest
    )

    # A reward that takes the group sees all responses to a problem at once, any other one by one.
    groups: dict[str | int, list[Scored]] = defaultdict(list)
    for number, row in enumerate(rows):
        groups[row.id if use.takes_group else number].append(row)

    calls = []
    for several in groups.values():
        samples = [_blind(row, prompts[row.id]) for row in several]
        calls.append(Call(use, tuple(samples)))

    limits = recipe.reward
    with Pool([use], limits.workers, limits.timeout_s, limits.memory_gb) as pool:
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
