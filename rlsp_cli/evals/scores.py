"""What best-of-n and weighted votes choose by: a number for each response that knows neither reference nor verdict."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

from rlsp_cli.evals.vote import Row
from rlsp_cli.recipe.schema import PluginUse, Reward
from rlsp_cli.rewards.answers import stated_confidence
from rlsp_cli.rewards.pool import Pool
from rlsp_cli.rewards.process import Call, Use
from rlsp_cli.rewards.registry import Registry
from rlsp_cli.rewards.sample import Sample, Score

LOGPROB, CONFIDENCE = "logprob", "confidence"


def likelihood(row: Row) -> float | None:
    """The geometric mean of the probabilities of a response's tokens, 1 / perplexity; None where it is not known."""
    total, tokens = (row.get("scores") or {}).get(LOGPROB), row["num_tokens"]
    return math.exp(total / tokens) if total is not None and tokens else None


def score(row: Row, scorer: str | None) -> float | None:
    """A response's score by `logprob` (its likelihood), `confidence` (as it states it) or a name in its `scores`."""
    if scorer == LOGPROB:
        return likelihood(row)
    return stated_confidence(row["response"]) if scorer == CONFIDENCE else (row.get("scores") or {}).get(scorer)


def usual_scorer(rows: Sequence[Row]) -> str | None:
    """`logprob` where every response has it, else `confidence` where any states one, else None."""
    if rows and all(likelihood(row) is not None for row in rows):
        return LOGPROB
    return CONFIDENCE if any(score(row, CONFIDENCE) is not None for row in rows) else None


def knows(rows: Sequence[Row], scorer: str) -> bool:
    """Whether the rows have this scorer's numbers themselves, so that no plugin is asked."""
    return scorer in (LOGPROB, CONFIDENCE) or any(scorer in (row.get("scores") or {}) for row in rows)


def scored_by(
    rows: Sequence[Row], prompts: Mapping[str, str], scorer: PluginUse, reward: Reward, plugins: Sequence[str] = ()
) -> list[Score]:
    """What an exploration reward gives each response, in the processes and with the limits of `reward`.

    It sees the prompt, the response and the answer extracted from it: no reference, no verdict and no column of the
    bench, as whoever answers a question has none of them.
    """
    plugin = Registry().get("exploration_reward", scorer.use, plugins)
    use = Use(
        plugin.kind, scorer.use, scorer.options, tuple(plugins), plugin.takes_group, plugin.digest, scorer.timeout_s
    )
    groups: dict[str | int, list[int]] = defaultdict(list)
    for number, row in enumerate(rows):
        groups[row["id"] if use.takes_group else number].append(number)
    calls = [Call(use, tuple(_blind(rows[number], prompts) for number in numbers)) for numbers in groups.values()]
    with Pool([use], reward.workers, reward.timeout_s, reward.memory_gb) as pool:
        found = pool.map(calls)
    scores = {
        n: s
        for numbers, several in zip(groups.values(), found, strict=True)
        for n, s in zip(numbers, several, strict=True)
    }
    return [scores[number] for number in range(len(rows))]


def _blind(row: Row, prompts: Mapping[str, str]) -> Sample:
    return Sample(
        prompt=prompts[row["id"]],
        response=row["response"],
        id=row["id"],
        num_tokens=row["num_tokens"],
        truncated=row["truncated"],
        answer=row["correctness"]["answer"],
    )
