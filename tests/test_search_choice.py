"""Which response of a tree is the answer: the best, or the best of the answer with the most votes."""

from pathlib import Path

import pytest

from rlsp_cli.evals.search.choice import CHOICES
from rlsp_cli.rewards import Node
from tests.toy_search import Table, Toy, Watched, grow


def leaf(number: int, answer: str, score: float | None) -> Node:
    return Node(number, text=f"So \\boxed{{{answer}}}", ended=True, score=score)


@pytest.mark.parametrize(
    ("scores", "chosen"),
    [
        ([0.5, 0.4, 0.6], 1),  # 7: 0.9 against 0.6, and its better response comes first
        ([0.1, 0.2, 0.6], 3),
        ([0.3, 0.3, 0.6], 3),  # a tie goes to the better response
        ([None, None, None], 1),  # without scores each counts as one
        ([None, 0.7, 0.6], 2),
        ([0.5, -0.4, 0.3], 1),  # below 0 there is no weight
    ],
)
def test_votes_are_weighed_by_their_scores(scores: list[float | None], chosen: int) -> None:
    # 7 and its other spelling are one answer.
    leaves = [leaf(n, answer, score) for n, (answer, score) in
              enumerate(zip(("7", "\\text{7}", "8"), scores, strict=True), 1)]  # fmt: skip
    assert CHOICES["weighted_vote"](leaves).id == chosen


def test_responses_without_an_answer_have_no_vote() -> None:
    silent = [Node(n, text="no idea", ended=True, score=0.9) for n in (1, 2)]
    assert CHOICES["weighted_vote"]([*silent, leaf(3, "8", 0.1)]).id == 3
    assert CHOICES["weighted_vote"](silent).id == 1


def test_a_search_answers_with_what_its_leaves_vote_for(tmp_path: Path) -> None:
    toy = Toy({"": ["a"], "a": ["\\boxed{A}", "\\boxed{B}", "\\boxed{A}"]})
    table = Table({"a": 0.5, "a\\boxed{A}": 0.6, "a\\boxed{B}": 0.9})

    for choose, answer in (("best", "B"), ("weighted_vote", "A")):
        folder = tmp_path / choose
        folder.mkdir()
        toy.said.clear()
        policy = Watched("beam", beams=1, children=3)
        (grown,) = grow(policy, toy, table, folder, choose=choose)
        assert grown.answer.response == f"a\\boxed{{{answer}}}"
        assert f'"node": {grown.answer.id}, "end"' in (folder / "trees.jsonl").read_text()
