"""Test-time strategies on one bench beside one long answer to each problem, with the tokens of both sides."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from rlsp_cli.evals.compare import difference
from rlsp_cli.evals.metrics.scores import likelihood, score_of, usual_scorer
from rlsp_cli.evals.metrics.vote import Ask, Row, takes_answers, votes
from rlsp_cli.evals.strategies.strategy import STRATEGIES, Candidate, Strategy
from rlsp_cli.evals.strategies.token_budget import OneAnswer, Spent, one_answer, spend, spend_all, summary
from rlsp_cli.rewards.sample import is_right

FORCED = "forced"
"""Kind of the rows that budget forcing makes."""
_FORCING = "budget_forcing"
_Candidates = Mapping[str, Sequence[Candidate]]
_Choose = Callable[[str, Strategy], Spent]


def strategy_metrics(
    rows: Sequence[Row],
    names: Sequence[str],
    ask: Ask | None = None,
    scorer: str | None = None,
    against: OneAnswer | None = None,
) -> dict[str, Any]:
    """Strategies by name on the sampled responses of one bench, in the order of `index`, and on the forced ones.

    `one_answer` is what they are set beside: `against`, else what budget forcing made, else nothing. With it, each has
    a row at equal tokens, problem by problem, and one with all responses, and the greedy response has one; without it,
    each has one for each power of two. Problems that one side has no scored response to are left out. `missing` says in
    words what could not be computed.
    """
    forced = one_answer(_FORCING, rows, [FORCED]) if _FORCING in names else None
    sampled = sorted((row for row in rows if row["kind"] == "sample"), key=lambda row: row["index"])
    scorer = scorer or usual_scorer(sampled)
    long = against or forced
    candidates = _candidates(sampled, ask, scorer, long)
    votable = ask is None or takes_answers(sampled, ask)
    lacking = {name: _lacking(name, candidates, scorer, votable) for name in names if name in STRATEGIES}
    used = [name for name, reason in lacking.items() if reason is None]
    uncounted = _uncounted(candidates, long) if used and long else None
    found = [
        (name, selection, {id: choose(id, STRATEGIES[name]) for id in candidates})
        for name in used
        for selection, choose in _selections(candidates, long, uncounted is None)
    ]
    singles = [one_answer("greedy", rows, ["greedy"]), forced if against else None]
    found += [(one.label, "all", _shared(one, long)) for one in singles if one and long]
    return {
        "scorer": scorer,
        "one_answer": _beside(long, candidates) if long else None,
        "rows": [
            {"strategy": name, "selection": selection, **summary(spent), "difference": _difference(long, spent)}
            for name, selection, spent in found
            if spent
        ],
        "missing": [*(f"{name}: {reason}" for name, reason in lacking.items() if reason), *filter(None, [uncounted])],
    }


def _candidates(
    sampled: Sequence[Row], ask: Ask | None, scorer: str | None, long: OneAnswer | None
) -> dict[str, list[Candidate]]:
    return {
        id: [_candidate(row, answer, scorer) for row, answer in several]
        for id, several in votes(sampled, ask).items()
        if long is None or id in long.problems
    }


def _candidate(row: Row, answer: str | None, scorer: str | None) -> Candidate:
    right = is_right(row["correctness"]["value"])
    return Candidate(row["response"], answer, right, row["num_tokens"], score_of(row, scorer), likelihood(row))


def _selections(candidates: _Candidates, long: OneAnswer | None, counted: bool) -> list[tuple[str, _Choose]]:
    """Which responses take part: a name, and what a strategy comes to on a problem by them."""
    everyone: tuple[str, _Choose] = ("all", partial(_first, candidates, None))
    if long:
        return [("equal tokens", partial(_within, candidates, long)), everyone] if counted else [everyone]
    least = min(map(len, candidates.values()))
    sizes = [2**i for i in range(least.bit_length()) if 2**i < max(map(len, candidates.values()))]
    return [*((f"first {k}", partial(_first, candidates, k)) for k in sizes), everyone]


def _first(candidates: _Candidates, k: int | None, id: str, strategy: Strategy) -> Spent:
    return spend_all(candidates[id][:k], strategy)


def _within(candidates: _Candidates, long: OneAnswer, id: str, strategy: Strategy) -> Spent:
    return spend(candidates[id], long.problems[id].tokens or 0.0, strategy)


def _lacking(name: str, candidates: _Candidates, scorer: str | None, votable: bool) -> str | None:
    """Why a strategy says nothing about these responses, in words."""
    everyone = [candidate for several in candidates.values() for candidate in several]
    if not everyone:
        return "no problem has scored samples to choose from"
    unvoted = _no_vote(everyone, votable) if name != "best_of_n" else None
    if name == "rpc" and any(one.likelihood is None for one in everyone):
        return "not every response has a log-probability and a number of tokens (scores.logprob, num_tokens)"
    unscored = _no_score(name, everyone, scorer) if name in ("best_of_n", "weighted_vote") else None
    return unvoted or unscored


def _no_vote(everyone: Sequence[Candidate], votable: bool) -> str | None:
    if any(one.right for one in everyone) and all(one.answer is None for one in everyone):
        return "the verifier extracts no answers, so there is nothing to vote on"
    if not votable:
        return "the bench's references are no answers, so only the reference would tell which answers are one"
    return None


def _no_score(name: str, everyone: Sequence[Candidate], scorer: str | None) -> str | None:
    scores = [candidate.score for candidate in everyone if candidate.score is not None]
    if scorer is None:
        return "no log-probabilities and no stated confidence to choose by; name a scorer"
    if not scores:
        return f"no response has a score by {scorer}"
    if name == "weighted_vote" and min(scores) < 0:
        return f"{scorer} gives scores below 0, and votes need weights of at least 0"
    return None


def _uncounted(candidates: _Candidates, long: OneAnswer) -> str | None:
    """Whose tokens nobody counted, in words."""
    sides: dict[str, Sequence[float | None]] = {
        long.label: [spent.tokens for spent in long.problems.values()],
        "the sampled responses": [one.tokens for several in candidates.values() for one in several],
    }
    without = [side for side, tokens in sides.items() if None in tokens]
    return f"no comparison at equal tokens: num_tokens of {' and '.join(without)} is missing" if without else None


def _shared(one: OneAnswer, other: OneAnswer) -> dict[str, Spent]:
    return {id: spent for id, spent in one.problems.items() if id in other.problems}


def _beside(long: OneAnswer, candidates: _Candidates) -> dict[str, Any]:
    """The long side on the problems of the other side; on all of its own where that has none."""
    shared = {id: spent for id, spent in long.problems.items() if id in candidates or not candidates}
    return {"label": long.label, "kind": long.kind, **summary(shared)}


def _difference(long: OneAnswer | None, spent: Mapping[str, Spent]) -> dict[str, Any] | None:
    before = {id: one.accuracy for id, one in long.problems.items()} if long else {}
    return difference(before, {id: one.accuracy for id, one in spent.items()})
