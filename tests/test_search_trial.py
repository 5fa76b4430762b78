"""A search policy is tried before it searches: by `rlsp plugins check`, and by `rlsp check` with its options."""

import json
from pathlib import Path

import pytest

from rlsp_cli.evals.search import Policy, check_policy
from rlsp_cli.preflight.search import look_at_search
from rlsp_cli.recipe.issue import Note
from rlsp_cli.recipe.load import resolve_recipe
from rlsp_cli.rewards.registry import built_in, resolve_options
from tests.conftest import rlsp

POLICIES = '''
from random import Random

from rlsp_cli.rewards import Node, Tree, search

_RANDOM = Random(0)


@search
def after_the_end(tree: Tree) -> list[tuple[Node, int]]:
    """Expands every step, also one that has ended."""
    return [(node, 1) for node in tree.latest or [tree.root]]


@search
def endless(tree: Tree) -> list[tuple[Node, int]]:
    """Never ends."""
    return [(tree.root, 1)]


@search
def foreign(tree: Tree) -> list[tuple[Node, int]]:
    """Expands a node of no tree."""
    return [(Node(0), 1)]


@search
def fickle(tree: Tree) -> list[tuple[Node, int]]:
    """Does not draw from tree.random."""
    return [(_RANDOM.choice(tree.open), 4)] if len(tree.nodes) < 20 and tree.open else []


@search
def tired(tree: Tree) -> list[tuple[Node, int]]:
    """Ends before a response does."""
    return []


@search
def wide(tree: Tree, *, children: int = 16) -> list[tuple[Node, int]]:
    """Expands all that is open."""
    return [(node, children) for node in tree.open]
'''


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    path = tmp_path / "policies.py"
    path.write_text(POLICIES)
    return path


def failed(policy: Policy) -> list[tuple[str, str]]:
    return [(check.name, check.detail) for check in check_policy(policy) if not check.passed]


def test_the_policies_that_rlsp_ships_pass() -> None:
    assert {name: failed(Policy(name, {})) for name in built_in("search")} == {
        name: [] for name in built_in("search")
    }


@pytest.mark.parametrize(
    ("name", "check", "says"),
    [
        ("after_the_end", "expands what can be expanded", "which has ended"),
        ("foreign", "expands what can be expanded", "node 0 that is not of this tree"),
        ("endless", "ends by itself", "still asked after 2048; return []"),
        ("fickle", "chooses the same in a resumed search", "draw from tree.random"),
        ("tired", "reaches a whole response", "in 0 of 6 trees"),
    ],
)
def test_what_is_wrong_with_a_policy_is_told(
    name: str, check: str, says: str, policies: Path
) -> None:
    ((found, detail),) = failed(Policy(f"{policies}:{name}", {}))
    assert found == check and says in detail


def test_a_policy_that_expands_all_there_is_ends_by_itself(policies: Path) -> None:
    assert failed(Policy(f"{policies}:wide", {})) == []


@pytest.mark.integration
def test_plugins_check_tries_the_policies_of_a_file_and_takes_no_samples(policies: Path) -> None:
    done = rlsp("plugins", "check", policies, "--json", check=False)
    results = {(row["plugin"], row["result"]) for row in json.loads(done.stdout)["data"]}
    assert done.returncode == 6
    assert ("endless", "FAILED") in results and ("wide", "FAILED") not in results

    samples = policies.with_name("samples.jsonl")
    samples.write_text('{"prompt": "2 + 2?", "response": "4"}\n')
    done = rlsp("plugins", "check", "beam", "--samples", samples, check=False)
    assert done.returncode == 2 and "is a search, which is given trees" in done.stderr


@pytest.mark.integration
def test_a_recipe_is_refused_if_its_options_make_the_policy_ask_for_what_cannot_be(
    policies: Path,
) -> None:
    def found(use: dict[str, object]) -> list[tuple[type, str]]:
        settings = {"strategies": ["search"], "search": use}
        data = {"name": "x", "model": {"path": "m"}, "eval": {"benches": ["aime24"], **settings}}
        recipe = resolve_recipe(data, plugins=resolve_options)
        return [(type(one), one.message) for one in look_at_search(recipe, ["eval"])]

    assert found({"use": "beam"}) == []
    ((kind, message),) = found({"use": "beam", "children": 0})
    assert kind is not Note and "asks for 0 children" in message

    ((kind, message),) = found({"use": f"{policies}:endless"})
    assert kind is Note and "ends by itself: no" in message
