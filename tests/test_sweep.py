"""`rlsp eval --sweep`: every combination of settings with all strategies, in one table and its plots."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from rlsp_cli.errors import RecipeError
from rlsp_cli.evals.answer import FORCED, GREEDY, SAMPLE, SEARCH
from rlsp_cli.evals.results import BenchResult, ModelResult, Results
from rlsp_cli.evals.statistics import Estimate
from rlsp_cli.evals.strategies import strategy_table
from rlsp_cli.plan.counts import count_stages
from rlsp_cli.recipe.load import load_recipe
from rlsp_cli.recipe.sweep import Sweep, under_setting
from rlsp_cli.report.accuracy import Point, curves, points
from rlsp_cli.rewards.registry import resolve_options
from tests.conftest import rlsp
from tests.openai_server import Reply, chat, serving
from tests.provenance import made
from tests.test_search_cli import folder_of
from tests.test_search_strategy import row


def test_every_combination_is_a_setting_with_a_name_of_its_own() -> None:
    sweep = Sweep(temperature=(0.6, 1.0), max_new_tokens=(8, 16))
    assert sweep.settings == [
        {"temperature": t, "max_new_tokens": n} for t in (0.6, 1.0) for n in (8, 16)
    ]
    names = [under_setting("base", setting) for setting in sweep.settings]
    assert names[0] == "base@temperature=0.6,max_new_tokens=8" and len(set(names)) == 4

    # Without a sweep there is one setting, and models are called as ever.
    assert Sweep().settings == [{}] and under_setting("base", {}) == "base"


@pytest.mark.parametrize(
    ("sweep", "words"),
    [
        ("{temperature: [0.6, 0.6]}", "temperature has a value twice: 0.6, 0.6"),
        ("{top_p: [1.1]}", "less than or equal to 1"),
        ("{samples: [1, 2]}", "samples"),
        ("{top_p: [0.9, 1]} rounds={count: 1}", "rounds are compared under one setting"),
    ],
)
def test_a_wrong_sweep_is_told(sweep: str, words: str, tiny_recipe: Path) -> None:
    changes = f"eval.sweep={sweep}".replace(" rounds=", "\nrounds=").splitlines()
    with pytest.raises(RecipeError, match=words):
        load_recipe(tiny_recipe, changes, plugins=resolve_options)


def point(strategy: str, tokens: float | None) -> Point:
    return Point(
        bench="b",
        model="m",
        setting={},
        strategy=strategy,
        selection="all",
        responses=1,
        tokens=tokens,
        tokens_policy=tokens,
        accuracy=Estimate(0.5, 0.4, 0.6),
    )


def test_a_curve_is_a_strategy_by_tokens_without_what_is_not_counted() -> None:
    found = curves([point("vote", 8), point("rpc", 4), point("vote", 2), point("vote", None)])
    assert {name: [one.tokens for one in along] for name, along in found.items()} == {
        "vote": [2, 8],
        "rpc": [4],
    }


def answering(body: dict[str, Any]) -> Reply:
    """The right sum at a low temperature, another one at a high temperature; 5 tokens."""
    a, b = map(int, body["messages"][-1]["content"].split("+"))
    wrong = body["temperature"] > 0.8 and body["seed"] % 2
    status, headers, reply = chat(f"\\boxed{{{a + b + wrong}}}")
    return status, headers, {**reply, "usage": {"completion_tokens": 5}}


@pytest.mark.integration
def test_a_sweep_runs_all_strategies_under_every_setting_and_resumes(tmp_path: Path) -> None:
    folder_of(tmp_path, 8)
    with serving(answering) as server:
        command = [
            "eval", "m", "--url", server.url, "--bench", "./sums.yaml", "--out", "run",
            "eval.samples=4", "eval.strategies=[self_consistency]",
            "--sweep", "temperature=0.5,1.0,eval.top_p=0.9,1", "--json",
        ]  # fmt: skip
        first = rlsp(*command, cwd=tmp_path)
        asked = Counter((one["temperature"], one["top_p"]) for one in server.asked)

        # As if it had been killed before the last setting.
        (lost,) = (tmp_path / "run/eval").glob("base@temperature=1.0,top_p=1.0/sums/samples.jsonl")
        rows = lost.read_text().splitlines(keepends=True)
        lost.write_text("".join(rows[:-7]))
        (tmp_path / "run/status.json").write_text(
            (tmp_path / "run/status.json").read_text().replace('"done"', '"failed"')
        )
        again = rlsp(*command, "--resume", cwd=tmp_path)
        assert len(server.asked) == asked.total() + 7

    # Four samples of eight problems, and under each setting the greedy ones.
    swept = {key: n for key, n in asked.items() if key[0] > 0}
    assert swept == {(t, p): 32 for t in (0.5, 1.0) for p in (0.9, 1.0)}

    found = json.loads(first.stdout)["data"]
    assert found["sweep"] == json.loads(again.stdout)["data"]["sweep"]
    votes = {
        tuple(row["setting"].values()): row
        for row in found["sweep"]
        if (row["strategy"], row["selection"]) == ("self_consistency", "all")
    }
    assert {key: row["tokens"] for key, row in votes.items()} == dict.fromkeys(swept, 20)
    assert votes[0.5, 1.0]["accuracy"]["value"] == 1 > votes[1.0, 1.0]["accuracy"]["value"]
    assert votes[0.5, 1.0]["interval"][1] == 1 and votes[0.5, 1.0]["model"] == "base"

    # Each setting is compared with the first one, on the same problems.
    moved = found["evaluation"]["comparisons"]
    assert [(one["from"], one["to"]) for one in moved] == [
        ("base@temperature=0.5,top_p=0.9", f"base@temperature={t},top_p={p}")
        for t, p in ((0.5, 1.0), (1.0, 0.9), (1.0, 1.0))
    ]
    assert moved[1]["difference"] < 0 and moved[1]["problems"] == 8
    page = (tmp_path / "run/report.html").read_text()
    assert len(re.findall('aria-label="Accuracy against tokens, sums, base@', page)) == 4


def test_a_plan_counts_the_responses_of_every_setting(tiny_recipe: Path) -> None:
    plain = load_recipe(tiny_recipe, plugins=resolve_options)
    swept = load_recipe(
        tiny_recipe, ["eval.sweep={temperature: [0.5, 1], max_new_tokens: [8, 16]}"],
        plugins=resolve_options,
    )  # fmt: skip
    before, after = (
        next(one for one, _ in count_stages(recipe) if one.stage == "eval")
        for recipe in (plain, swept)
    )
    assert after.responses == 4 * (before.responses or 0)
    assert after.tokens == 2 * (8 + 16) * (before.tokens or 0) / 16


@pytest.mark.integration
def test_a_limit_or_given_responses_do_not_go_with_a_sweep(tmp_path: Path) -> None:
    folder_of(tmp_path, 2)
    sweep = ("--bench", "./sums.yaml", "--sweep", "temperature=0.5,1.0")
    for more, words in (
        (["--gold"], "responses are given"),
        (["--gold", "--fail-below", "0.5"], "--sweep has several settings"),
        (["--sweep", "top_p"], "--sweep top_p: expected KEY=VALUE,..."),
        (["--sweep", "top_p="], "--sweep top_p=: expected KEY=VALUE,..."),
        (["--sweep", "eval.temperature=2"], "temperature is swept already"),
    ):
        done = rlsp("eval", *sweep, *more, cwd=tmp_path, check=False)
        assert done.returncode in (2, 3) and words in done.stderr, done.stderr


def test_a_search_and_forced_responses_have_one_point_each() -> None:
    rows = [
        *(row(id, kind, right=id == "a") for id in "ab" for kind in (GREEDY, FORCED, SEARCH)),
        *(row(id, SAMPLE, right=id == "a", index=index) for id in "ab" for index in range(2)),
    ]
    for names, found in (
        (["search", "self_consistency"], ["self_consistency"] * 2 + ["greedy", "search"]),
        (["budget_forcing"], ["budget_forcing", "greedy"]),
    ):
        result = BenchResult(made(), strategies=strategy_table(rows, names))
        results = Results({"base": ModelResult("m", {"sums": result})})
        assert [one.strategy for one in points(results)] == found
