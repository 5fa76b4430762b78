"""Search in the table of strategies: what it costs, and what it is compared with."""

import pytest

from rlsp_cli.evals.answer import GREEDY, SAMPLE, SEARCH, Scored
from rlsp_cli.evals.strategies import strategy_table
from rlsp_cli.rewards.sample import Score
from tests.optional import present


def row(
    id: str, kind: str, right: bool, index: int = 0, tokens: int = 10, others: int = 0
) -> Scored:
    return Scored(
        id=id,
        kind=kind,
        index=index,
        response=f"{id} {right}",
        num_tokens=tokens,
        other_tokens=others,
        correctness=Score("exact", "value", float(right), str(right)),
    )


ROWS = [
    *(row(id, GREEDY, right=False) for id in "abcd"),
    *(row(id, SAMPLE, right=id == "a", index=index) for id in "abcd" for index in range(8)),
    *(row(id, SEARCH, right=id != "d", tokens=20, others=30) for id in "abcd"),
]


def test_a_search_costs_what_its_scorer_read_and_wrote_too() -> None:
    table = strategy_table(ROWS, ["search", "self_consistency"])
    rows = {(one.strategy, one.selection): one for one in table.rows}
    assert (rows["search", "all"].tokens, rows["search", "all"].tokens_policy) == (50, 20)

    # Five responses of 10 tokens for a tree of 50.
    vote = rows["self_consistency", "equal tokens"]
    assert (vote.responses, vote.tokens, vote.tokens_policy) == (5, 50, 50)
    assert present(vote.difference).difference == pytest.approx(0.25 - 0.75)


def test_search_is_compared_with_the_first_of_the_others_or_with_greedy() -> None:
    table = strategy_table(ROWS, ["search", "self_consistency"])
    (found,) = [one for one in table.rows if one.strategy == "search"]
    assert found.minus == "self_consistency"
    assert present(found.difference).difference == pytest.approx(0.75 - 0.25)

    (found,) = [one for one in strategy_table(ROWS, ["search"]).rows if one.strategy == "search"]
    assert found.minus == "greedy" and present(found.difference).difference == 0.75
