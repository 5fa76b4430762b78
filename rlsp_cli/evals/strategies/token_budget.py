"""What an answer costs: accuracy and tokens of one problem, by a strategy under a budget or by a single response."""

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rlsp_cli.evals.metrics.vote import Row
from rlsp_cli.evals.statistics import mean_share
from rlsp_cli.evals.strategies.strategy import Candidate, Strategy
from rlsp_cli.rewards.sample import is_right


class Spent(NamedTuple):
    """Of one problem: expected accuracy, responses that took part, and their tokens (None where nobody counted).

    `ran_out` says that there were no more responses though the budget would have paid for some.
    """

    accuracy: float
    responses: float
    tokens: float | None
    ran_out: bool = False


class OneAnswer(NamedTuple):
    """The long side of a comparison: of each problem the share of right responses and their mean tokens."""

    label: str
    kind: str
    problems: Mapping[str, Spent]


def one_answer(label: str, rows: Sequence[Row], kinds: Sequence[str]) -> OneAnswer | None:
    """From the rows of the first of these kinds that has scored ones; None when none has."""
    scored = [row for row in rows if row["correctness"]["value"] is not None]
    for kind in kinds:
        problems: dict[str, list[Row]] = defaultdict(list)
        for row in scored:
            if row["kind"] == kind:
                problems[row["id"]].append(row)
        if problems:
            return OneAnswer(label, kind, {id: _single(several) for id, several in problems.items()})
    return None


def spend_all(candidates: Sequence[Candidate], strategy: Strategy) -> Spent:
    """The strategy on all candidates."""
    tokens = [candidate.tokens for candidate in candidates if candidate.tokens is not None]
    return Spent(strategy(candidates), len(candidates), sum(tokens) if len(tokens) == len(candidates) else None)


def spend(candidates: Sequence[Candidate], budget: float, strategy: Strategy) -> Spent:
    """The strategy on the first candidates that the budget of tokens pays for, at least one; all must be counted.

    The one that crosses the budget takes part with the chance that makes the expected tokens equal to the budget.
    """
    costs = [candidate.tokens or 0 for candidate in candidates]
    count = next((n for n in range(len(costs)) if sum(costs[: n + 1]) > budget), len(costs))
    paid = sum(costs[:count])
    if count == len(costs):
        return Spent(strategy(candidates), count, paid, ran_out=paid < budget)
    if count == 0:
        return spend_all(candidates[:1], strategy)
    chance = (budget - paid) / costs[count]
    accuracy = (1 - chance) * strategy(candidates[:count]) + chance * strategy(candidates[: count + 1])
    return Spent(accuracy, count + chance, budget)


def summary(problems: Mapping[str, Spent]) -> dict[str, Any]:
    """Means over problems, and the 95% interval of the accuracy."""
    spent = list(problems.values())
    tokens = [one.tokens for one in spent if one.tokens is not None]
    return {
        "problems": len(spent),
        "responses": statistics.fmean(one.responses for one in spent),
        "tokens": statistics.fmean(tokens) if len(tokens) == len(spent) else None,
        "accuracy": mean_share([one.accuracy for one in spent])._asdict(),
        "ran_out": sum(one.ran_out for one in spent),
    }


def _single(rows: Sequence[Row]) -> Spent:
    tokens = [row["num_tokens"] for row in rows if row["num_tokens"] is not None]
    accuracy = statistics.fmean(is_right(row["correctness"]["value"]) for row in rows)
    return Spent(accuracy, 1, statistics.fmean(tokens) if len(tokens) == len(rows) else None)
