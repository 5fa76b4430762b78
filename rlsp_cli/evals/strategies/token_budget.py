"""What an answer costs: accuracy and tokens of a strategy under a budget, or of one response."""

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rlsp_cli.evals.answer import Scored
from rlsp_cli.evals.metrics import of_kind
from rlsp_cli.evals.statistics import Clusters, Estimate, cluster_means, mean_share
from rlsp_cli.evals.strategies.strategy import Candidate, Strategy


class Outcome(NamedTuple):
    """Of one problem: expected accuracy, responses that took part, and their tokens if known.

    `ran_out` says that all responses took part and the budget would have paid for more. `others` are
    those of the tokens that other models than the one evaluated read and wrote.
    """

    accuracy: float
    responses: float
    tokens: float | None
    ran_out: bool = False
    others: float = 0.0


class SingleAnswers(NamedTuple):
    """One response to each problem, which strategies are compared to.

    Where a problem has several, they count as one with their mean accuracy and tokens. `label` says
    whose they are, `kind` how they were decoded.
    """

    label: str
    kind: str
    problems: Mapping[str, Outcome]


@dataclass(frozen=True, kw_only=True)
class Means:
    """Means over problems, with the accuracy's 95% interval; `ran_out` counts problems.

    Of several problems made of one row, their mean counts as one. `tokens_policy` are those of the
    model that is evaluated, without a scorer's.
    """

    problems: int
    responses: float
    tokens: float | None
    accuracy: Estimate
    ran_out: int
    tokens_policy: float | None = None


def single_answers(
    label: str, rows: Sequence[Scored], kinds: Sequence[str]
) -> SingleAnswers | None:
    """From the rows of the first of these kinds that has scored ones; None if none has."""
    scored = [row for row in rows if row.value is not None]
    for kind in kinds:
        problems: dict[str, list[Scored]] = defaultdict(list)
        for row in of_kind(scored, kind):
            problems[row.id].append(row)

        if problems:
            outcomes = {id: _single(several) for id, several in problems.items()}
            return SingleAnswers(label, kind, outcomes)

    return None


def choose(candidates: Sequence[Candidate], strategy: Strategy) -> Outcome:
    """The strategy's choice from all candidates that it asks for."""
    candidates = strategy.asked(candidates)

    # A sum over those that are known would be too small, and look like a saving.
    costs = [cost for one in candidates if (cost := strategy.cost(one)) is not None]
    known = len(costs) == len(candidates)
    return Outcome(
        strategy.chance(candidates),
        len(candidates),
        sum(costs) if known else None,
        others=_others(candidates, strategy),
    )


def choose_within(candidates: Sequence[Candidate], budget: float, strategy: Strategy) -> Outcome:
    """Its choice from the first candidates that the budget of tokens pays for, at least one.

    The one that crosses the budget takes part with the chance that makes the expected tokens equal
    to the budget. The tokens of all candidates must be known.
    """
    asked = strategy.asked(candidates)
    costs = [strategy.cost(candidate) or 0 for candidate in asked]
    count, paid = 0, 0
    while count < len(costs) and paid + costs[count] <= budget:
        paid += costs[count]
        count += 1

    if count == len(costs):
        ran_out = paid < budget and count == len(candidates)
        return Outcome(strategy.chance(asked), count, paid, ran_out, _others(asked, strategy))
    # A strategy must answer, so it is over the budget if its first response is.
    if count == 0:
        return choose(asked[:1], strategy)

    # Rounding down would leave tokens unspent on each problem, and the strategy at a disadvantage.
    next_takes_part = (budget - paid) / costs[count]
    without = strategy.chance(asked[:count])
    including = strategy.chance(asked[: count + 1])
    accuracy = (1 - next_takes_part) * without + next_takes_part * including
    others = _others(asked[:count], strategy) + next_takes_part * _others([asked[count]], strategy)
    return Outcome(accuracy, count + next_takes_part, budget, others=others)


def means(problems: Mapping[str, Outcome], clusters: Clusters) -> Means:
    """Over at least one problem; tokens are None if they are not known of each."""
    accuracies = {id: outcome.accuracy for id, outcome in problems.items()}
    responses = {id: outcome.responses for id, outcome in problems.items()}
    tokens = {id: outcome.tokens for id, outcome in problems.items() if outcome.tokens is not None}
    policy = {id: count - problems[id].others for id, count in tokens.items()}
    counted = len(tokens) == len(problems)

    return Means(
        problems=len(problems),
        responses=statistics.fmean(cluster_means(responses, clusters)),
        tokens=statistics.fmean(cluster_means(tokens, clusters)) if counted else None,
        accuracy=mean_share(cluster_means(accuracies, clusters)),
        ran_out=sum(outcome.ran_out for outcome in problems.values()),
        tokens_policy=statistics.fmean(cluster_means(policy, clusters)) if counted else None,
    )


def _others(candidates: Sequence[Candidate], strategy: Strategy) -> int:
    """What other models than the one evaluated read and wrote for the strategy's choice."""
    return sum((strategy.cost(one) or 0) - (one.tokens or 0) for one in candidates if one.tokens)


def _single(rows: Sequence[Scored]) -> Outcome:
    # The mean of several, as if one of them had been drawn at random.
    tokens = [row.num_tokens + row.other_tokens for row in rows if row.num_tokens is not None]
    accuracy = statistics.fmean(row.right for row in rows)
    others = statistics.fmean(row.other_tokens for row in rows)
    mean = statistics.fmean(tokens) if len(tokens) == len(rows) else None
    return Outcome(accuracy, 1, mean, others=others)
