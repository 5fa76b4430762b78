"""Test-time strategies on one bench beside a single answer to each problem, with tokens."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter

from rlsp_cli.evals.answer import (
    CONFIDENCE,
    FORCED,
    GREEDY,
    LOGPROB,
    SAMPLE,
    SEARCH,
    Key,
    Scored,
    clusters_of,
)
from rlsp_cli.evals.metrics import SameAnswer, of_kind
from rlsp_cli.evals.metrics.vote import takes_answers, votes
from rlsp_cli.evals.statistics import Clusters, Difference, difference
from rlsp_cli.evals.strategies.best_of_n import BestOfN
from rlsp_cli.evals.strategies.confidence_split import ConfidenceSplit
from rlsp_cli.evals.strategies.rpc import Rpc
from rlsp_cli.evals.strategies.selection import EqualTokens, Selection, selections
from rlsp_cli.evals.strategies.self_consistency import SelfConsistency
from rlsp_cli.evals.strategies.strategy import Candidate, Responses, Strategy
from rlsp_cli.evals.strategies.token_budget import (
    Means,
    Outcome,
    SingleAnswers,
    means,
    single_answers,
)
from rlsp_cli.evals.strategies.weighted_vote import WeightedVote
from rlsp_cli.recipe.strategy import Split

_ALL: tuple[Strategy, ...] = (
    SelfConsistency(),
    WeightedVote(),
    BestOfN(),
    Rpc(),
    ConfidenceSplit(),
)
STRATEGIES = {strategy.name: strategy for strategy in _ALL}
"""By name, those that choose from samples. Budget forcing and search make responses of their own."""
BUDGET_FORCING = "budget_forcing"


@dataclass(frozen=True, kw_only=True)
class StrategyRow(Means):
    """A strategy on some of the responses; `difference` is its accuracy minus the reference's.

    Where the strategy is the reference itself, `minus` names the one that is taken off instead.
    """

    strategy: str
    selection: str
    difference: Difference | None = None
    minus: str | None = None


@dataclass(frozen=True, kw_only=True)
class SingleRow(Means):
    """The single answers that strategies are compared to."""

    label: str
    kind: str


@dataclass(frozen=True)
class StrategyTable:
    """What strategies came to; `missing` says in words what could not be computed."""

    scorer: str | None
    one_answer: SingleRow | None
    rows: Sequence[StrategyRow]
    missing: Sequence[str]

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "StrategyTable":
        """Read what `dataclasses.asdict` gave; pydantic's ValidationError for anything else."""
        return _TABLE.validate_python(data)


_TABLE = TypeAdapter(StrategyTable)


class _Builder:
    """Builds a table of strategies that choose from `responses`, beside those of `reference`."""

    def __init__(
        self, responses: Responses, reference: SingleAnswers | None, clusters: Clusters
    ) -> None:
        self.responses, self.reference, self.clusters = responses, reference, clusters
        self.rows: list[StrategyRow] = []
        self.missing: list[str] = []
        self.first: tuple[str, Mapping[str, Outcome]] | None = None
        """The first strategy at equal tokens, and its outcomes."""

        # Why tokens cannot be compared; without a reference there is nothing to compare them to.
        self.uncounted = _uncounted(responses, reference) if reference else None
        self.selections: Sequence[Selection] = selections(
            responses, reference, counted=self.uncounted is None
        )

    def add(self, strategy: Strategy) -> None:
        """A row for each selection, or the reason why there is none."""
        reason = self._unusable(strategy)
        if reason:
            self.missing.append(f"{strategy.name}: {reason}")
            return

        for selection in self.selections:
            outcomes = selection.outcomes(self.responses.problems, strategy)
            if self.first is None and isinstance(selection, EqualTokens):
                self.first = strategy.name, outcomes
            self._add_row(strategy.name, selection.name, outcomes)

    def add_single(self, single: SingleAnswers | None) -> None:
        """A row of other single answers, on the problems that the reference has too."""
        if single is None or self.reference is None:
            return

        shared = {
            id: outcome for id, outcome in single.problems.items() if id in self.reference.problems
        }
        if shared:
            self._add_row(single.label, "all", shared)

    def add_reference(self, greedy: SingleAnswers | None) -> None:
        """A row of the reference, minus the first strategy at equal tokens, else minus greedy."""
        assert self.reference is not None, "checked by the caller"
        other = self.first or (greedy and (GREEDY, greedy.problems))
        self._add_row(self.reference.label, "all", self.reference.problems, other)

    def table(self) -> StrategyTable:
        """All rows so far."""
        missing = list(self.missing)

        # Where no strategy could be used, missing tokens are not what the reader should fix first.
        if self.uncounted and any(row.strategy in STRATEGIES for row in self.rows):
            missing.append(self.uncounted)

        return StrategyTable(
            scorer=self.responses.scorer,
            one_answer=self._single_row(self.reference) if self.reference else None,
            rows=self.rows,
            missing=missing,
        )

    def _unusable(self, strategy: Strategy) -> str | None:
        if not self.responses.problems:
            return "no problem has scored samples to choose from"
        return strategy.unusable(self.responses)

    def _add_row(
        self,
        name: str,
        selection: str,
        outcomes: Mapping[str, Outcome],
        minus: tuple[str, Mapping[str, Outcome]] | None = None,
    ) -> None:
        moved, single = None, self.reference
        others = minus[1] if minus else single and single.problems
        if others:
            before = {id: outcome.accuracy for id, outcome in others.items()}
            after = {id: outcome.accuracy for id, outcome in outcomes.items()}
            moved = difference(before, after, self.clusters)

        found = vars(means(outcomes, self.clusters))
        row = StrategyRow(
            strategy=name,
            selection=selection,
            difference=moved,
            minus=minus[0] if minus else None,
            **found,
        )
        self.rows.append(row)

    def _single_row(self, reference: SingleAnswers) -> SingleRow:
        """The reference on the problems that have samples too; on all of them if none has."""
        problems = self.responses.problems or reference.problems
        shared = {id: outcome for id, outcome in reference.problems.items() if id in problems}
        found = vars(means(shared, self.clusters))
        return SingleRow(label=reference.label, kind=reference.kind, **found)


def strategy_table(
    rows: Sequence[Scored],
    names: Sequence[str],
    same: SameAnswer | None = None,
    scorer: str | None = None,
    against: SingleAnswers | None = None,
    split: Split | None = None,
    scorer_tokens: Mapping[Key, int] | None = None,
) -> StrategyTable:
    """Strategies by name on the sampled responses of one bench; `split` is confidence_split's.

    `scorer_tokens` are those that models read and wrote for a response's score.

    The reference is `against`, else what budget forcing made, else what a search found, else nothing.
    With it, each strategy has a row at equal tokens, problem by problem, and one with all responses,
    and the greedy response has one. Without it, each has one for each power of two. Problems that
    one side has no scored response to are left out.
    """
    forced = single_answers(BUDGET_FORCING, rows, [FORCED]) if BUDGET_FORCING in names else None
    searched = single_answers(SEARCH, rows, [SEARCH]) if SEARCH in names else None
    reference = against or forced or searched
    responses = _responses(rows, same, scorer, reference, scorer_tokens or {})
    builder = _Builder(responses, reference, clusters_of(rows))

    strategies = {**STRATEGIES, ConfidenceSplit.name: ConfidenceSplit(split)}
    for name in names:
        if name in strategies:
            builder.add(strategies[name])

    # What one plain response gives: a strategy that does not beat it is not worth its tokens.
    greedy = single_answers(GREEDY, rows, [GREEDY])
    builder.add_single(greedy)
    if against:
        builder.add_single(forced)
    if searched and reference is searched:
        builder.add_reference(greedy)
    else:
        builder.add_single(searched)
    return builder.table()


def usual_scorer(rows: Sequence[Scored]) -> str | None:
    """`logprob` if every response has it, else `confidence` if any states one, else None."""
    if rows and all(row.likelihood is not None for row in rows):
        return LOGPROB
    return CONFIDENCE if any(row.score(CONFIDENCE) is not None for row in rows) else None


def _responses(
    rows: Sequence[Scored],
    same: SameAnswer | None,
    scorer: str | None,
    reference: SingleAnswers | None,
    scorer_tokens: Mapping[Key, int],
) -> Responses:
    # Servers answer in any order. "The first k" must mean the same draws in each evaluation.
    sampled = sorted(of_kind(rows, SAMPLE), key=lambda row: row.index)
    scorer = scorer or usual_scorer(sampled)

    problems = {}
    for id, several in votes(sampled, same).items():
        # A comparison is paired: problems of one side alone would bring in their difficulty.
        if reference is None or id in reference.problems:
            problems[id] = [
                _candidate(row, answer, scorer, scorer_tokens.get(row.key, 0))
                for row, answer in several
            ]

    return Responses(problems, scorer, same is None or takes_answers(sampled, same))


def _candidate(
    row: Scored, answer: str | None, scorer: str | None, scorer_tokens: int
) -> Candidate:
    return Candidate(
        row.response,
        answer,
        row.right,
        row.num_tokens,
        row.score(scorer),
        row.likelihood,
        scorer_tokens,
        row.other_tokens,
    )


def _uncounted(responses: Responses, reference: SingleAnswers) -> str | None:
    """Whose tokens are not known, in words; None if all are."""
    sides: dict[str, Sequence[float | None]] = {
        reference.label: [outcome.tokens for outcome in reference.problems.values()],
        "the sampled responses": [candidate.tokens for candidate in responses.all],
    }
    without = [side for side, tokens in sides.items() if None in tokens]
    if not without:
        return None
    return f"no comparison at equal tokens: num_tokens of {' and '.join(without)} is missing"
