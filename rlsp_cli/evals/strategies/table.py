"""Test-time strategies on one bench beside a single answer to each problem, with the tokens of both sides."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter

from rlsp_cli.evals.answer import CONFIDENCE, FORCED, GREEDY, LOGPROB, SAMPLE, Scored
from rlsp_cli.evals.metrics import SameAnswer, of_kind
from rlsp_cli.evals.metrics.vote import takes_answers, votes
from rlsp_cli.evals.statistics import Difference, difference
from rlsp_cli.evals.strategies.best_of_n import BestOfN
from rlsp_cli.evals.strategies.rpc import Rpc
from rlsp_cli.evals.strategies.self_consistency import SelfConsistency
from rlsp_cli.evals.strategies.strategy import Candidate, Responses, Strategy
from rlsp_cli.evals.strategies.token_budget import (
    Means,
    Outcome,
    SingleAnswers,
    choose,
    choose_within,
    means,
    single_answers,
)
from rlsp_cli.evals.strategies.weighted_vote import WeightedVote

_ALL: tuple[Strategy, ...] = (SelfConsistency(), WeightedVote(), BestOfN(), Rpc())
STRATEGIES = {strategy.name: strategy for strategy in _ALL}
"""Those that choose from sampled responses. Budget forcing is none of them: it makes a response of its own."""
BUDGET_FORCING = "budget_forcing"


@dataclass(frozen=True, kw_only=True)
class StrategyRow(Means):
    """A strategy on some of the responses; `difference` is its accuracy minus that of the single answers."""

    strategy: str
    selection: str
    difference: Difference | None = None


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
        """The reverse of `dataclasses.asdict`; pydantic's ValidationError if these are other data."""
        return _TABLE.validate_python(data)


_TABLE = TypeAdapter(StrategyTable)


@dataclass(frozen=True)
class _First:
    """The first `count` responses to each problem, all of them if None."""

    count: int | None = None

    @property
    def name(self) -> str:
        return "all" if self.count is None else f"first {self.count}"

    def outcome(self, id: str, candidates: Sequence[Candidate], strategy: Strategy) -> Outcome:
        return choose(candidates[: self.count], strategy)


@dataclass(frozen=True)
class _EqualTokens:
    """As many responses to each problem as have the tokens of its single answer."""

    reference: SingleAnswers
    name = "equal tokens"

    def outcome(self, id: str, candidates: Sequence[Candidate], strategy: Strategy) -> Outcome:
        return choose_within(candidates, self.reference.problems[id].tokens or 0.0, strategy)


def strategy_table(
    rows: Sequence[Scored],
    names: Sequence[str],
    same: SameAnswer | None = None,
    scorer: str | None = None,
    against: SingleAnswers | None = None,
) -> StrategyTable:
    """Strategies by name on the sampled responses of one bench, in the order of `index`, and on the forced ones.

    The reference is `against`, else what budget forcing made, else nothing. With it, each strategy has a row at equal
    tokens, problem by problem, and one with all responses, and the greedy response has one; without it, each has one
    for each power of two. Problems that one side has no scored response to are left out.
    """
    forced = single_answers(BUDGET_FORCING, rows, [FORCED]) if BUDGET_FORCING in names else None
    reference = against or forced
    responses = _responses(rows, same, scorer, reference)

    lines, missing, uncounted = [], [], None
    for strategy in (STRATEGIES[name] for name in names if name in STRATEGIES):
        reason = _unusable(strategy, responses)
        if reason:
            missing.append(f"{strategy.name}: {reason}")
            continue
        uncounted = _uncounted(responses, reference) if reference else None
        for selection in _selections(responses, reference, uncounted is None):
            outcomes = {
                id: selection.outcome(id, candidates, strategy) for id, candidates in responses.problems.items()
            }
            lines.append(_row(strategy.name, selection.name, outcomes, reference))

    if reference:
        singles = [single_answers(GREEDY, rows, [GREEDY]), forced if against else None]
        for one in filter(None, singles):
            shared = {id: outcome for id, outcome in one.problems.items() if id in reference.problems}
            if shared:
                lines.append(_row(one.label, "all", shared, reference))
    return StrategyTable(
        scorer=responses.scorer,
        one_answer=_single_row(reference, responses) if reference else None,
        rows=lines,
        missing=[*missing, uncounted] if uncounted else missing,
    )


def usual_scorer(rows: Sequence[Scored]) -> str | None:
    """`logprob` if every response has it, else `confidence` if any states one, else None."""
    if rows and all(row.likelihood is not None for row in rows):
        return LOGPROB
    return CONFIDENCE if any(row.score(CONFIDENCE) is not None for row in rows) else None


def _responses(
    rows: Sequence[Scored], same: SameAnswer | None, scorer: str | None, reference: SingleAnswers | None
) -> Responses:
    sampled = sorted(of_kind(rows, SAMPLE), key=lambda row: row.index)
    scorer = scorer or usual_scorer(sampled)

    problems = {}
    for id, several in votes(sampled, same).items():
        if reference is None or id in reference.problems:
            problems[id] = [_candidate(row, answer, scorer) for row, answer in several]
    return Responses(problems, scorer, same is None or takes_answers(sampled, same))


def _candidate(row: Scored, answer: str | None, scorer: str | None) -> Candidate:
    return Candidate(row.response, answer, row.right, row.num_tokens, row.score(scorer), row.likelihood)


def _unusable(strategy: Strategy, responses: Responses) -> str | None:
    if not responses.problems:
        return "no problem has scored samples to choose from"
    return strategy.unusable(responses)


def _selections(
    responses: Responses, reference: SingleAnswers | None, counted: bool
) -> Sequence[_First | _EqualTokens]:
    """Which responses a strategy may choose from, one row each."""
    if reference:
        return [_EqualTokens(reference), _First()] if counted else [_First()]

    counts = [len(candidates) for candidates in responses.problems.values()]
    powers = [2**i for i in range(min(counts).bit_length())]
    return [*(_First(k) for k in powers if k < max(counts)), _First()]


def _uncounted(responses: Responses, reference: SingleAnswers) -> str | None:
    """Whose tokens are not known, in words."""
    sides: dict[str, Sequence[float | None]] = {
        reference.label: [outcome.tokens for outcome in reference.problems.values()],
        "the sampled responses": [candidate.tokens for candidate in responses.all],
    }
    without = [side for side, tokens in sides.items() if None in tokens]
    return f"no comparison at equal tokens: num_tokens of {' and '.join(without)} is missing" if without else None


def _row(name: str, selection: str, outcomes: Mapping[str, Outcome], reference: SingleAnswers | None) -> StrategyRow:
    before = {id: outcome.accuracy for id, outcome in reference.problems.items()} if reference else {}
    after = {id: outcome.accuracy for id, outcome in outcomes.items()}
    moved = difference(before, after)
    return StrategyRow(strategy=name, selection=selection, difference=moved, **vars(means(outcomes)))


def _single_row(reference: SingleAnswers, responses: Responses) -> SingleRow:
    """The reference on the problems that have samples too; on all of them if none has."""
    problems = responses.problems or reference.problems
    shared = {id: outcome for id, outcome in reference.problems.items() if id in problems}
    return SingleRow(label=reference.label, kind=reference.kind, **vars(means(shared)))
