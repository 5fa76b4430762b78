"""Strategies that choose by a plugin with options: what they see, and what its models' tokens cost."""

import re
from pathlib import Path
from typing import Any

import pytest

from rlsp_cli.evals.answer import Scored
from rlsp_cli.evals.strategies import STRATEGIES, Candidate, strategy_table
from rlsp_cli.evals.strategies.scorers import check_scorer, rescored
from rlsp_cli.evals.strategies.token_budget import (
    Outcome,
    SingleAnswers,
    choose,
    choose_within,
)
from rlsp_cli.recipe.load import resolve_recipe
from rlsp_cli.recipe.plugin_use import ScorerUse
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.rewards.models import Address
from rlsp_cli.rewards.registry import resolve_options
from tests.openai_server import chat, serving

PLUGINS = '''
from collections.abc import Sequence

from rlsp_cli.rewards import ModelName, Sample, exploration_reward, served_model, step_scorer


@step_scorer
def asks(sample: Sample, steps: Sequence[str], *, model: ModelName = "judge") -> list[float | None]:
    """What the model says of each step."""
    judge = served_model(model)
    return [float(judge.chat([{"role": "user", "content": step}])) for step in steps]


@exploration_reward
def long(sample: Sample, *, scale: float = 10.0) -> float:
    """Characters of the response."""
    return len(sample.response) / scale
'''
PEEKS = '''
from collections.abc import Sequence

from rlsp_cli.rewards import Sample, step_scorer


@step_scorer
def peeks(sample: Sample, steps: Sequence[str]) -> list[float | None]:
    """Whether a step has the reference."""
    return [float(str(sample.reference) in step) for step in steps]
'''


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "scorers.py"
    path.write_text(PLUGINS)
    return path


def recipe_with(scorer: Any) -> Recipe:
    settings = {"benches": ["aime24"], "strategies": ["best_of_n"], "scorer": scorer}
    data = {"name": "x", "model": {"path": "m"}, "eval": settings}
    return resolve_recipe(data, plugins=resolve_options)


def sampled(index: int, response: str, tokens: int) -> Scored:
    correctness = {"outcome": "value", "value": float("good" in response), "answer": response}
    return Scored.from_json(
        {
            "id": "p",
            "kind": "sample",
            "index": index,
            "response": response,
            "num_tokens": tokens,
            "truncated": False,
            "correctness": correctness,
        }
    )


def test_tokens_of_the_scorers_models_are_the_strategys(file: Path) -> None:
    recipe = recipe_with({"use": f"{file}:asks", "steps": {"aggregate": "mean"}})
    rows = [sampled(0, "bad\nbad", 10), sampled(1, "good", 20), sampled(2, "bad", 30)]

    with serving(lambda body: chat("0.9" if "good" in str(body) else "0.1")) as server:
        served = {"judge": Address(server.url, "m")}
        scored = rescored(rows, {"p": "?"}, recipe, served)
    assert [score.value for _, score in scored] == pytest.approx([0.1, 0.9, 0.1])

    # The double counts one token for each call: one a step.
    costs = {row.key: score.tokens for row, score in scored}
    assert list(costs.values()) == [2, 1, 1]
    names = ["best_of_n", "self_consistency"]
    reference = SingleAnswers("one", "sample", {"p": Outcome(1.0, 1, 33)})
    ranked = [Scored.from_json({**row.to_json(), "scores": {"asks": 0.5}}) for row in rows]
    table = strategy_table(ranked, names, None, "asks", reference, None, costs)
    spent = {(row.strategy, row.selection): row for row in table.rows}
    assert spent["best_of_n", "all"].tokens == 64
    assert spent["self_consistency", "all"].tokens == 60

    # 33 tokens pay for two scored responses, and for a tenth of a third that has no score.
    assert spent["best_of_n", "equal tokens"].responses == 2
    assert spent["self_consistency", "equal tokens"].responses == pytest.approx(2.1)


def test_only_who_reads_scores_pays_for_them() -> None:
    one = Candidate("a", "a", True, 10, 0.5, 0.5, scorer_tokens=7)
    two = Candidate("b", "b", False, 10, 0.1, 0.1, scorer_tokens=3)
    for name, tokens in (("best_of_n", 30), ("weighted_vote", 30), ("self_consistency", 20)):
        assert choose([one, two], STRATEGIES[name]).tokens == tokens
    assert choose_within([one, two], 17, STRATEGIES["best_of_n"]).responses == 1
    assert choose_within([one, two], 17, STRATEGIES["self_consistency"]).responses == 1.7


def test_self_critique_leaves_the_one_that_wins_against_all_before_it() -> None:
    texts = [
        "b 4",
        "a 1",
        "",
        "c 3",
        "d 5",
        "g 5",
        "e 7",
        "f 6",
        "h 8",
    ]  # the number is how good it is
    newer_first = []

    def prefers(body: dict[str, Any]) -> Any:
        work = body["messages"][1]["content"]
        one, other = re.findall(r"^\w \d.*$", work, re.MULTILINE)
        newer_first.append(texts.index(one) > texts.index(other))
        first, second = int(one.split()[1]), int(other.split()[1])
        return chat("Better: 1 or 2" if first == second else f"Hm.\nBetter: {1 + (second > first)}")

    rows = [sampled(number, text, 10) for number, text in enumerate(texts)]
    recipe = recipe_with("self_critique")
    with serving(prefers) as server:
        scored = rescored(rows[::-1], {"p": "?"}, recipe, {"self": Address(server.url, "m")})
    assert [score.value for _, score in scored] == [
        1 / 9, 0, None, 0, 5 / 9, None, 7 / 9, 0, 1,
    ]  # fmt: skip
    assert [row.index for row, _ in scored] == list(range(9))

    # Seven comparisons, a token each, are divided among the responses; none is always shown first.
    assert [score.tokens for _, score in scored] == [1] * 7 + [0] * 2
    assert sum(newer_first) in (2, 3, 4, 5)


def test_a_scorer_has_options(file: Path) -> None:
    recipe = recipe_with({"use": f"{file}:long", "scale": 5})
    ((_, score),) = rescored([sampled(0, "good", 1)], {"p": "?"}, recipe)
    assert score.value == pytest.approx(0.8)

    again = resolve_recipe(recipe.model_dump(mode="json"), plugins=resolve_options)
    assert again.eval and isinstance(again.eval.scorer, ScorerUse)
    assert again.eval.scorer.options == {"scale": 5.0}


def test_a_step_scorer_that_reads_the_reference_is_refused(tmp_path: Path, file: Path) -> None:
    peeks = tmp_path / "peeks.py"
    peeks.write_text(PEEKS)
    (issue,) = check_scorer(recipe_with({"use": f"{peeks}:peeks", "steps": {}}))
    assert "peeks reads the reference, which no strategy may see" in str(issue)
    assert not list(check_scorer(recipe_with({"use": f"{file}:asks", "steps": {}})))

    # Without `steps` it is taken for an exploration reward, and the line says what is missing.
    (issue,) = check_scorer(recipe_with(f"{file}:asks"))
    assert "add steps: {by: lines}" in str(issue)
