"""`rounds.search`: a round that trains on what is written of trees."""

import json
from collections import Counter
from collections.abc import Container, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from rlsp_cli.data import step_rows
from rlsp_cli.data.returns import Returns
from rlsp_cli.errors import DataError, RecipeError
from rlsp_cli.evals.samplers import Decoding, Request, Response
from rlsp_cli.evals.search import check_search
from rlsp_cli.launch.rounds import scorer_recipe
from rlsp_cli.plan import make_plan
from rlsp_cli.preflight.search import look_at_search
from rlsp_cli.recipe.load import resolve_recipe
from rlsp_cli.recipe.rows import StepRows
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.rewards.model_use import check_models, models_at
from rlsp_cli.rewards.registry import resolve_options
from rlsp_cli.traces.guide import guided_by
from rlsp_cli.traces.self_training import make_round_traces
from tests.conftest import rlsp
from tests.test_rounds import TINY, as_it_is, scripted_recipe, scripted_round, traces_of
from tests.test_search_traces import READS

SAYS = {
    ("one", ""): ["try 7\n", "try 1\n"],
    ("one", "try 7\n"): ["\\boxed{7}"],
    ("one", "try 1\n"): ["\\boxed{1}"],
    ("two", ""): ["try 3\n", "try 4\n"],
}
"""By problem and what was said of it, what is said next; else a wrong answer."""


BAD = '''
from rlsp_cli.rewards import Node, Tree, search


@search
def bad(tree: Tree) -> list[tuple[Node, int]]:
    """A policy that returns no list."""
    return tree.root
'''


class Stepwise:
    """A sampler that says one line after the other, each of 3 tokens."""

    def __init__(self, dies_after: int | None = None) -> None:
        self.dies_after = dies_after
        self.asked: list[tuple[str, str]] = []

    def answer(
        self, requests: Sequence[Request], decoding: Decoding, done: Container[int] = ()
    ) -> Iterator[tuple[int, Response]]:
        said: Counter[tuple[str, str]] = Counter()
        for row, request in enumerate(requests):
            if self.dies_after is not None and len(self.asked) >= self.dies_after:
                raise KeyboardInterrupt
            place = request.prompt, request.prefix
            self.asked.append(place)
            lines = SAYS.get(place, ["\\boxed{0}"])
            text = lines[said[place] % len(lines)]
            said[place] += 1
            yield row, Response(text, num_tokens=3, stopped=text.endswith("\n"))


def preferring(recipe: Recipe, search: dict[str, Any] | None = None) -> Recipe:
    """The recipe with pairs instead of traces."""
    data = recipe.model_dump(mode="json")
    data["sft"]["kind"], data["data"]["traces"] = "dpo", None
    if search:
        data["rounds"]["search"] |= search
    return resolve_recipe(data, plugins=resolve_options)


def searching(folder: Path, write: str = "linear", **keys: Any) -> Recipe:
    """Two lines of each problem, each of which goes on once."""
    search = {"use": "beam", "beams": 2, "children": 1, "write": write, **keys.pop("search", {})}
    return scripted_recipe(folder, search=search, **keys)


def test_a_round_trains_on_chains_that_come_back(tmp_path: Path) -> None:
    round, sampler = scripted_round(searching(tmp_path), tmp_path), Stepwise()
    numbers = make_round_traces(round, sampler, as_it_is)

    # "two" has no right response, and "three" is in the bench.
    (row,) = traces_of(round)
    first, wrong, words, second, right = row["solution"].splitlines()
    assert (first, wrong, second, right) == ("try 7", "\\boxed{7}", "try 1", "\\boxed{1}")
    assert words in Returns().phrases and row["returns"] == 1 and row["problem"] == "one"

    assert {problem for problem, _ in sampler.asked} == {"one", "two"}
    assert (numbers.responses, numbers.right, numbers.solved, numbers.new) == (4, 1, 1, 1)
    assert (
        numbers.tokens == 8 * 3
        and '"write": "linear"' in (round.paths.root / "traces.card.json").read_text()
    )


def test_a_round_that_prefers_trains_on_the_pairs_of_trees(tmp_path: Path) -> None:
    recipe = preferring(searching(tmp_path), search={"write": "pairs"})
    round = scripted_round(recipe, tmp_path)
    numbers = make_round_traces(round, Stepwise(), as_it_is)

    (row,) = traces_of(round)
    found = row["prompt"], row["chosen"], row["rejected"]
    assert found == ("one", "try 1\n\\boxed{1}", "try 7\n\\boxed{7}") and numbers.new == 1


def test_the_values_of_a_rounds_trees_train_the_scorer_of_the_next_search(tmp_path: Path) -> None:
    round = scripted_round(searching(tmp_path, write="paths", scorer={"epochs": 3}), tmp_path)
    numbers = make_round_traces(round, Stepwise(), as_it_is)

    rows = list(step_rows(StepRows(source=str(round.values))))
    labels = {row.steps: row.labels for row in rows}
    assert labels["try 1", "\\boxed{1}"] == (1, 1) and labels["try 7", "\\boxed{7}"] == (0, 0)
    assert numbers.values == len(rows) == 4 and {row.prompt for row in rows} == {"one", "two"}

    trained = scorer_recipe(round.recipe, 1, "m", round.values)
    assert trained.trains_prm and trained.sft and trained.sft.epochs == 3
    assert trained.model.path == "m" and trained.eval is None and trained.data.traces is None
    guided = guided_by(round.recipe, "round-1/scorer/final")
    assert guided.rounds and guided.rounds.search and guided.rounds.search.scorer
    assert guided.rounds.search.scorer.use == "prm" and not list(check_models(guided))
    assert guided.models["round_scorer"].path == "round-1/scorer/final"


def test_a_scorer_without_a_search_has_nothing_to_learn(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="scorer learns from the trees of a search"):
        scripted_recipe(tmp_path, scorer={})


VALUED = """\
rounds:
  count: 2
  stop: null
  max_new_tokens: 32
  problems: 12
  search: {use: beam, beams: 2, children: 2, steps: {by: sentences}, step_tokens: 16, budget: 400}
  scorer: {epochs: 8, learning_rate: 1.0e-2}
"""


@pytest.mark.integration
def test_a_search_is_guided_by_the_scorer_that_the_round_before_trained(tmp_path: Path) -> None:
    lines = [line for line in TINY.splitlines() if not line.startswith("rounds:")]
    (tmp_path / "tiny.yaml").write_text("\n".join(lines) + "\n" + VALUED)
    rlsp("run", "tiny.yaml", "--out", "run", cwd=tmp_path)

    for number in (1, 2):
        scorer = tmp_path / "run" / f"round-{number}" / "scorer"
        assert (scorer / "sft" / "checkpoints" / "final" / "model.safetensors").exists()
        assert json.loads((scorer / "status.json").read_text())["state"] == "done"

    # Without a trained scorer the verifier judges whole responses; a scorer knows parts of them.
    between = [
        [0 < value < 1 for value in scores_of(tmp_path / "run" / f"round-{number}")]
        for number in (1, 2)
    ]
    assert not any(between[0]) and any(between[1])


def scores_of(round: Path) -> list[float]:
    """The scores of nodes that a round's trees have."""
    (file,) = (round / "traces" / "drafts").glob("trees-*.jsonl")
    found = [json.loads(line).get("score") for line in file.read_text().splitlines()]
    return [score["value"] for score in found if score and score["value"] is not None]


def test_a_chain_needs_no_number_of_tokens_for_an_exploration_reward(tmp_path: Path) -> None:
    given = searching(tmp_path).model_dump(mode="json")
    given["reward"]["exploration"] = [{"use": "length", "scale": 10}]
    round = scripted_round(resolve_recipe(given, plugins=resolve_options), tmp_path)

    assert make_round_traces(round, Stepwise(), as_it_is).new == 1


def test_only_the_first_problems_are_solved(tmp_path: Path) -> None:
    recipe, sampler = searching(tmp_path, problems=1), Stepwise()
    make_round_traces(scripted_round(recipe, tmp_path), sampler, as_it_is)

    assert {problem for problem, _ in sampler.asked} == {"one"}
    counts = {one.stage: one for one in make_plan(recipe).counts}["rounds"]
    assert (counts.rows, counts.responses, counts.tokens) == (1, None, 2 * 4096)


def test_a_search_in_a_round_that_was_killed_asks_for_nothing_twice(tmp_path: Path) -> None:
    round = scripted_round(searching(tmp_path), tmp_path)
    first, second = Stepwise(dies_after=5), Stepwise()
    with pytest.raises(KeyboardInterrupt):
        make_round_traces(round, first, as_it_is)
    make_round_traces(round, second, as_it_is)

    assert len(first.asked) == 5 and len(first.asked) + len(second.asked) == 8


def test_a_search_without_a_right_response_says_so_and_keeps_its_trees(tmp_path: Path) -> None:
    recipe = searching(tmp_path, search={"budget": 3})
    round = scripted_round(recipe, tmp_path)
    with pytest.raises(DataError, match=r"3 tokens reached no whole response.*sampled is in"):
        make_round_traces(round, Stepwise(), as_it_is)

    (trees,) = round.drafts.glob("trees-*.jsonl")
    assert trees.read_text().count('"text"') == 4


def test_what_would_stop_a_search_is_found_before_the_first_round(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text(BAD)
    search = {"use": f"{tmp_path}/bad.py:bad", "returns": str(tmp_path / "none.txt")}
    recipe = scripted_recipe(tmp_path, search=search)
    issues = {issue.path: issue.message for issue in look_at_search(recipe, ["sft", "eval"])}

    assert "expected a list of (node, count)" in issues["rounds.search"]
    assert "cannot read the words of going back" in issues["rounds.search.returns"]


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"write": "pairs"}, "pairs is nothing that sft.kind: sft learns from"),
        ({"write": "values"}, "values is nothing that sft.kind: sft learns from"),
        ({"tune": {}}, "leave them out with search"),
        ({"teacher": "expert"}, "leave them out with search"),
        ({"search": {"choose": "weighted_vote"}}, "here all are written"),
        ({"threshold": 0.5}, "leave them out with search"),
        ({"search": {"childrn": 2}}, 'unknown option "childrn"'),
    ],
)
def test_what_does_not_fit_a_search_is_refused(
    keys: dict[str, Any], words: str, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match=words):
        searching(tmp_path, **keys)


def test_the_scorer_of_a_search_may_ask_models_and_never_sees_the_reference(tmp_path: Path) -> None:
    (tmp_path / "cheat.py").write_text(READS)
    cheat = searching(tmp_path, search={"scorer": {"use": f"{tmp_path}/cheat.py:cheat"}})
    (issue,) = check_search(cheat)
    assert issue.path == "rounds.search.scorer" and "reads the reference" in issue.message

    judged = searching(tmp_path, search={"scorer": {"use": "judge_steps", "model": "expert"}})
    assert models_at(judged, "rounds") == {"expert"} and not list(check_search(judged))
