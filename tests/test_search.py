"""Search: what a model is asked, what is counted and kept, how a killed search goes on, and bad policies."""

import json
from collections import defaultdict
from collections.abc import Container, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from rlsp_cli.errors import DataError, PluginError, SafetyError
from rlsp_cli.evals.samplers import Decoding, Request, Response
from rlsp_cli.evals.search import Grown, Policy, SearchSampler, StepScoring, back_up
from rlsp_cli.evals.search.grow import Search
from rlsp_cli.evals.search.log import TreeLog
from rlsp_cli.recipe.search import SearchSteps, SearchUse
from rlsp_cli.recipe.steps import Steps
from rlsp_cli.rewards import Node
from rlsp_cli.rewards.call import Use
from rlsp_cli.rewards.pool import Pool
from tests.toy_search import DECODING, Table, Toy, Watched, grow

POLICIES = '''
import itertools

from rlsp_cli.rewards import Node, Tree, search


@search
def wide(tree: Tree, *, children: int = 2) -> list[tuple[Node, int]]:
    """Every open node, for ever."""
    return [(node, children) for node in tree.open]


@search
def bad(tree: Tree, *, how: str = "") -> list[tuple[Node, int]]:
    """A policy that asks for what cannot be, in its second round."""
    if not tree.latest:
        return [(tree.root, 2)]
    if how == "raises":
        return [(tree.nodes[99], 1)]
    wrong = {
        "ended": [(tree.ended[0], 1)],
        "foreign": [(Node(1), 1)],
        "many": [(tree.root, 10**9)],
        "none": [(tree.root, 0)],
        "shape": [tree.root],
        "type": (tree.root, 1),
    }
    return wrong[how]


_CALLS = itertools.count()


@search
def fickle(tree: Tree) -> list[tuple[Node, int]]:
    """A policy that chooses otherwise each time that it is asked."""
    if not tree.latest:
        return [(tree.root, 2)]
    return [(tree.nodes[1 + next(_CALLS) % 2], 1)] if len(tree.nodes) < 4 else []


@search
def tired(tree: Tree) -> list[tuple[Node, int]]:
    """A policy that ends before any response does."""
    return [] if tree.latest else [(tree.root, 2)]
'''


@pytest.fixture
def policies(tmp_path: Path) -> str:
    path = tmp_path / "policies.py"
    path.write_text(POLICIES)
    return str(path)


class Seeded:
    """Says two letters of the request's seed, of which a vowel ends the response, as tokens 2 and 3 more."""

    def __init__(self) -> None:
        self.asked: list[Request] = []
        self.limits: set[int] = set()

    def answer(
        self, requests: Sequence[Request], decoding: Decoding, done: Container[int] = ()
    ) -> Iterator[tuple[int, Response]]:
        for row, request in reversed(list(enumerate(requests))):
            self.asked.append(request)
            self.limits.add(decoding.max_new_tokens)
            number = (request.seed or 0) % 26
            text = f"{chr(97 + number)}\n"
            yield row, Response(text, 2, stopped=number % 5 > 0, token_ids=(number, 99))


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (path / "trees.jsonl").read_text().splitlines()]


def drawn(grown: Sequence[Grown]) -> list[list[tuple[int, str, float | None, float | None, int]]]:
    """All that there is to know of the trees."""
    return [
        [(one.id, one.response, one.score, one.value, one.visits) for one in each.tree.nodes]
        for each in grown
    ]


def test_a_prefix_is_the_tokens_that_the_model_wrote(policies: str, tmp_path: Path) -> None:
    sampler = Seeded()
    policy = Policy(f"{policies}:wide", {})
    grown, _ = grow(policy, sampler, None, tmp_path, ["p", "q"], budget=40)
    for node in grown.tree.nodes[1:]:
        asked = [one for one in sampler.asked if (one.id, one.prefix) == ("p", node.response)]
        ids = tuple(token for part in node.path[1:] for token in part.token_ids)
        assert all(one.prefix_ids == ids for one in asked)
    assert sum(len(request.prefix_ids) for request in sampler.asked) > 8
    assert len({request.seed for request in sampler.asked}) == len(sampler.asked)


def test_a_step_is_no_longer_than_its_limit_and_what_is_left_of_the_response(
    policies: str, tmp_path: Path
) -> None:
    sampler = Toy({"a" * n: "a" for n in range(20)})
    policy = Policy(f"{policies}:wide", {"children": 1})
    (grown,) = grow(policy, sampler, None, tmp_path, step_tokens=8)
    assert grown.end == "policy" and not grown.whole
    assert (grown.answer.response, grown.answer.truncated) == ("a" * 20, True)
    assert sampler.limits == [8] * 13 + [7, 6, 5, 4, 3, 2, 1]


@pytest.mark.parametrize(
    ("how", "root", "inner"),
    [("mean", (0.2 + 0.4 + 0.9 + 0.6) / 4, (0.4 + 0.9 + 0.6) / 3), ("max", 0.9, 0.9)],
)
def test_values_are_backed_up_from_new_nodes(how: str, root: float, inner: float) -> None:
    nodes = _family(how)
    assert nodes["root"].value == pytest.approx(root) and nodes["root"].visits == 4
    assert nodes["b"].value == pytest.approx(inner) and nodes["b"].visits == 3
    assert nodes["bc"].value == 0.9 and nodes["bc"].visits == 1


def test_weighted_values_are_means_of_the_children_by_their_visits() -> None:
    nodes = _family("weighted")
    assert nodes["b"].value == pytest.approx((0.9 + 0.6) / 2)
    assert nodes["root"].value == pytest.approx((1 * 0.2 + 3 * 0.75) / 4)


def _family(how: str) -> dict[str, Node]:
    """The root with a, .2, and b, .4, whose children are bc, .9, bd, .6, and be without a score."""
    nodes = {"root": Node(0)}
    for number, (name, score) in enumerate(
        [("a", 0.2), ("b", 0.4), ("bc", 0.9), ("bd", 0.6), ("be", None)], 1
    ):
        parent = nodes.get(name[:-1], nodes["root"])
        node = Node(number, parent, score=score)
        parent.children.append(node)
        nodes[name] = node
        back_up(node, how)
    return nodes


def test_all_tokens_are_counted_and_a_search_ends_when_they_are_spent(
    policies: str, tmp_path: Path
) -> None:
    after: dict[str, str] = defaultdict(lambda: "ab")
    table = Table({"a": 0.5}, tokens=10)
    (grown,) = grow(Policy(f"{policies}:wide", {}), Toy(after), table, tmp_path, budget=30)
    # A round of two costs 22; the next one, of four, begins below the budget and is made whole.
    assert (grown.policy_tokens, grown.tree.tokens) == (6, 66)
    assert grown.end == rows(tmp_path)[-1]["end"] == "budget"


def test_a_budget_that_reaches_no_answer_is_told_and_the_best_part_is_the_response(
    policies: str, tmp_path: Path
) -> None:
    after = {"": "ab", "a": "c", "b": "d", "ac": "e", "bd": "f"}
    scores = {"a": 0.3, "b": 0.6, "ac": 0.2, "bd": 0.7}
    policy = Policy(f"{policies}:wide", {})
    (grown,) = grow(policy, Toy(after), Table(scores), tmp_path, budget=6)
    assert grown.end == "budget" and grown.answer.response == "bd"
    assert grown.reason == "6 tokens reached no whole response; raise search.budget"

    search = _search(policy, Toy(after), Table(scores), tmp_path / "again", budget=6)
    sampler = SearchSampler(search)
    ((_, response),) = sampler.answer([Request("p", "?")], DECODING)
    assert (response.text, response.truncated, response.num_tokens) == ("bd", True, 6)
    assert sampler.notes == [f"search: 1 of 1 problems: {grown.reason}"]


def test_a_policy_that_ends_too_early_is_told(policies: str, tmp_path: Path) -> None:
    (grown,) = grow(Policy(f"{policies}:tired", {}), Toy({"": "ab"}), None, tmp_path)
    assert grown.reason == "the policy ended the search before a response was whole"


def test_a_scorer_that_abstains_from_every_node_ends_the_search_and_all_is_kept(
    policies: str, tmp_path: Path
) -> None:
    after = {"": "ab", "a": "C", "b": "D"}
    (grown,) = grow(Policy(f"{policies}:wide", {}), Toy(after), Table({}), tmp_path)
    assert grown.end == "unscored" and len(grown.tree.nodes) == 3
    assert grown.reason == "the scorer gave no node a score (2 abstain)"
    assert [row.get("text") for row in rows(tmp_path)][:2] == ["a", "b"]

    # One score is enough to go on by.
    (grown,) = grow(Policy(f"{policies}:wide", {}), Toy(after), Table({"a": 1.0}), tmp_path / "2")
    assert grown.end == "policy" and grown.answer.response in ("aC", "bD")


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("ended", "expands node 2, which has ended; leave out nodes with ended=True"),
        ("foreign", "returned a node 1 that is not of this tree; take nodes from tree.nodes"),
        ("many", "asks for 1000000000 children at once, and the budget is 50 tokens"),
        ("none", "asks for 0 children of node 0, expected a whole number from 1"),
        ("shape", r"returned Node\(id=0.* in its list, expected \(node, count\)"),
        ("type", r"returned \(Node.*, expected a list of \(node, count\)"),
        ("raises", r"IndexError: list index out of range \(policies.py:19\)"),
    ],
)
def test_a_policy_that_asks_for_what_cannot_be_is_told_in_one_line(
    how: str, words: str, policies: str, tmp_path: Path
) -> None:
    policy = Policy(f"{policies}:bad", {"how": how})
    with pytest.raises(PluginError, match=f"^search bad, problem 'p': {words}") as caught:
        grow(policy, Toy({"": "aB"}), None, tmp_path, budget=50)
    assert "\n" not in str(caught.value)
    assert [row["text"] for row in rows(tmp_path)] == ["a", "B"]


class Killed(Exception):
    """In the place of a kill."""


@pytest.mark.parametrize("after", [1, 3, 5])
def test_a_killed_search_ends_as_an_uninterrupted_one_and_asks_for_nothing_twice(
    after: int, policies: str, tmp_path: Path
) -> None:
    problems, settings = ["p", "q"], {"budget": 20}
    # Of 26 steps, all but two have a score.
    scores = {f"{chr(97 + n)}\n": n / 26 for n in range(24)}
    table, sampler = Table(scores, tokens=1), Seeded()
    policy = Watched("particles", particles=3)
    whole = grow(policy, sampler, table, tmp_path / "whole", problems, **settings)

    asked, scored, ticks = Seeded(), Table(scores, tokens=1), iter(range(after))

    def tick() -> None:
        if next(ticks, None) is None:
            raise Killed

    folder = tmp_path / "killed"
    search = _search(Watched("particles", particles=3), asked, scored, folder, tick, **settings)
    with pytest.raises(Killed):
        list(search.grow([Request(id, f"{id}?") for id in problems], DECODING))
    first = len(asked.asked)
    again = grow(Watched("particles", particles=3), asked, scored, folder, problems, **settings)

    assert drawn(again) == drawn(whole)
    assert [one.tree.tokens for one in again] == [one.tree.tokens for one in whole]
    assert 0 < first < len(asked.asked) == len(sampler.asked)
    assert sorted(scored.asked) == sorted(table.asked)

    finished = Seeded()
    third = grow(Watched("particles", particles=3), finished, scored, folder, problems, **settings)
    assert finished.asked == [] and drawn(third) == drawn(whole)
    assert sorted(scored.asked) == sorted(table.asked)
    assert sum("end" in row for row in rows(folder)) == 2


def test_a_policy_that_chooses_otherwise_when_it_is_asked_again_is_refused(
    policies: str, tmp_path: Path
) -> None:
    policy = Policy(f"{policies}:fickle", {})
    grow(policy, Toy({"": "ab", "a": "C", "b": "D"}), None, tmp_path)
    with pytest.raises(PluginError, match=r"node 3 .*has it after 1: .*draw from tree\.random"):
        grow(policy, Toy({}), None, tmp_path)


def test_a_damaged_row_is_named(tmp_path: Path) -> None:
    (tmp_path / "trees.jsonl").write_text('{"id": "p", "index": 0, "node": 1}\n')
    with pytest.raises(
        DataError, match=r"trees\.jsonl:1: damaged: .*score, end, or parent and text"
    ):
        TreeLog(tmp_path / "trees.jsonl")


def test_who_does_not_count_tokens_cannot_be_searched(policies: str, tmp_path: Path) -> None:
    class Uncounted(Toy):
        def answer(self, *arguments: object) -> Iterator[tuple[int, Response]]:
            yield 0, Response("x")

    with pytest.raises(DataError, match="problem 'p': a search needs num_tokens"):
        grow(Policy(f"{policies}:wide", {"children": 1}), Uncounted({}), None, tmp_path)


SCORER = '''
from collections.abc import Sequence

from rlsp_cli.rewards import Sample, step_scorer


@step_scorer
def seen(sample: Sample, steps: Sequence[str]) -> list[float | None]:
    """How many steps there are so far, in tenths; nothing where the reference can be seen."""
    assert sample.reference is None and sample.metadata == {}
    return [(number + 1) / 10 for number in range(len(steps))]


@step_scorer
def weak(sample: Sample, steps: Sequence[str]) -> list[float | None]:
    """A scorer that fails on every step but B."""
    return [{"B": 1.0}[step] for step in steps]


@step_scorer
def gone(sample: Sample, steps: Sequence[str]) -> list[float | None]:
    """A scorer whose server has ended."""
    raise ConnectionError("no reply")
'''


def test_a_step_scorer_is_given_the_steps_so_far_and_no_reference(tmp_path: Path) -> None:
    path = tmp_path / "scorer.py"
    path.write_text(SCORER)
    use = Use("step_scorer", f"{path}:seen", {}, steps=Steps(aggregate="last"))
    after = {"": ["a\n"], "a\n": ["b\n"], "a\nb\n": ["C"]}
    with Pool([use], 1, 30.0, 4.0) as pool:
        scoring = StepScoring(use, pool, limit=0.5)
        (grown,) = grow(Watched("best_first", children=1), Toy(after), scoring, tmp_path)
    assert [node.score for node in grown.tree.nodes] == [None, 0.1, 0.2, 0.3]


@pytest.mark.integration
@pytest.mark.parametrize("children", [16, 3])
def test_a_scorer_that_fails_stops_the_search_and_its_failures_are_not_taken_for_scores(
    children: int, policies: str, tmp_path: Path
) -> None:
    path = tmp_path / "scorer.py"
    path.write_text(SCORER)
    wide, after = Policy(f"{policies}:wide", {"children": children}), {"": ["A"]}

    use = Use("step_scorer", f"{path}:gone", {}, steps=Steps())
    with Pool([use], 1, 30.0, 4.0) as pool:
        words = rf"{children} of the last {children} scores failed \(reward.failure_limit 0.5\): .*no reply"
        with pytest.raises(SafetyError, match=words):
            grow(wide, Toy(after), StepScoring(use, pool, limit=0.5), tmp_path)

    # The same search with a scorer that is there asks for the scores, and for no step.
    assert len(rows(tmp_path)) == children and not any("score" in row for row in rows(tmp_path))
    again, scores = Toy(after), Table({"A": 1.0})
    grow(wide, again, scores, tmp_path)
    assert not again.asked and len(scores.asked) == children


@pytest.mark.parametrize(("said", "limit"), [("B" + 14 * "A", 0.5), ("A" * 15, 1.0)])
def test_failures_of_a_scorer_are_outcomes_where_another_node_has_a_score_or_the_limit_allows_them(
    said: str, limit: float, policies: str, tmp_path: Path
) -> None:
    path = tmp_path / "scorer.py"
    path.write_text(SCORER)
    use = Use("step_scorer", f"{path}:weak", {}, steps=Steps())
    wide = Policy(f"{policies}:wide", {"children": 15})
    with Pool([use], 1, 30.0, 4.0) as pool:
        (grown,) = grow(wide, Toy({"": said}), StepScoring(use, pool, limit), tmp_path)

    assert len(grown.lost) == said.count("A")
    if limit == 1.0:
        assert grown.end == "unscored" and (grown.reason or "").startswith(
            "the scorer gave no node a score (15 error): KeyError: 'A'"
        )


@pytest.mark.parametrize(
    ("steps", "ends"),
    [({}, "\n"), ({"by": "blank_line"}, "\n\n"), ({"by": "tag", "tag": "s"}, "</s>")],
)
def test_a_step_ends_where_its_splitter_would_end_it(steps: dict[str, Any], ends: str) -> None:
    assert SearchSteps(**steps).ends == (ends,)


def test_only_requests_that_are_not_done_are_searched(policies: str, tmp_path: Path) -> None:
    search = _search(Policy(f"{policies}:wide", {}), Toy({"": "A"}), None, tmp_path)
    requests = [Request("p", "?"), Request("q", "?"), Request("q", "?", 1)]
    assert [row for row, _ in SearchSampler(search).answer(requests, DECODING, {1})] == [0, 2]


def _search(
    policy: Policy,
    sampler: Toy | Seeded,
    scorer: Table | None,
    path: Path,
    tick: Any = lambda: None,
    **settings: Any,
) -> Search:
    log = TreeLog(path / "trees.jsonl")
    return Search(sampler, policy, scorer, SearchUse(**settings), log, tick)
