"""`rlsp eval eval.strategies=[...]`: from the command line, on given responses and on a tiny model."""

import json
import random
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from rlsp_cli.engine.model import new_model
from rlsp_cli.engine.sampler import LocalSampler
from rlsp_cli.errors import RecipeError, UsageError
from rlsp_cli.evals.benches import Bench, Benches
from rlsp_cli.evals.evaluate import evaluate
from rlsp_cli.evals.samplers import ReplaySampler
from rlsp_cli.evals.strategies.run import reference_answers, run_strategies
from rlsp_cli.launch.evaluation import evaluation_recipe
from rlsp_cli.recipe.data import Data
from rlsp_cli.recipe.eval import Eval
from rlsp_cli.recipe.model import FromScratch
from rlsp_cli.recipe.plugin_use import PluginUse
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.recipe.strategy import StrategyName
from rlsp_cli.rewards.sample import Sample, Score
from rlsp_cli.runs.paths import AnswerPaths
from rlsp_cli.runs.stream import read_rows, write_rows
from tests.conftest import rlsp

ALL: tuple[StrategyName, ...] = (
    "self_consistency",
    "best_of_n",
    "weighted_vote",
    "rpc",
    "budget_forcing",
)

BLIND = '''\
from rlsp_cli.rewards import Sample, exploration_reward


@exploration_reward
def sure(sample: Sample) -> float | None:
    """What the response says of itself; fails when it sees what nobody can see who answers a question."""
    assert sample.reference is None and sample.correct is None and not sample.metadata
    assert sample.prompt and sample.answer
    return None if "unsure" in sample.response else float("sure" in sample.response)
'''


def responses(
    file: Path, problems: list[dict[str, Any]], count: int, tokens: int, right: float, seed: int
) -> Path:
    """JSON Lines: right ones are `sure`, every fifth is `unsure`."""
    rng, rows = random.Random(seed), []
    for problem in problems:
        for n in range(count):
            hit = rng.random() < right
            answer, said = (
                (problem["answer"], "sure") if hit else (str(rng.randint(1000, 1003)), "perhaps")
            )
            text = f"{'unsure' if n % 5 == 4 else said} \\boxed{{{answer}}}"
            spent = rng.randint(tokens // 2, tokens * 3 // 2)
            rows.append(
                {
                    "id": problem["id"],
                    "response": text,
                    "num_tokens": spent,
                    "scores": {"logprob": -0.1 * spent},
                }
            )
    write_rows(file, rows)
    return file


def bench_of(data: Path, limit: int | None = None) -> Bench:
    return Benches(Eval(data=str(data), limit=limit, samples=0)).load("aime24")


def judge(samples: Sequence[Sample]) -> list[Score]:
    return [
        Score("boxed", "value", float(f"{{{one.reference}}}" in one.response), "?")
        for one in samples
    ]


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Path:
    """The folder of an evaluated model with one long answer to each problem of AIME24."""
    folder = tmp_path_factory.mktemp("long") / "model"
    given = responses(
        folder / "long.jsonl", list(read_rows(shared_data / "aime24.jsonl")), 1, 2000, 0.4, 0
    )
    paths = AnswerPaths(folder / "aime24")
    evaluate(
        bench_of(shared_data),
        ReplaySampler.from_file(given),
        judge,
        Eval(),
        seed=0,
        prompt=str,
        paths=paths,
    )
    return folder


@pytest.mark.integration
def test_the_papers_table_3_is_one_command(long: Path, shared_data: Path, tmp_path: Path) -> None:
    problems = list(read_rows(shared_data / "aime24.jsonl"))
    given = responses(tmp_path / "votes.jsonl", problems, 7, 600, 0.4, 1)
    (tmp_path / "sure.py").write_text(BLIND)
    done = rlsp(
        "eval", "--bench", "aime24", "--data", shared_data, "--responses", given, f"eval.against={long}",
        "eval.strategies=[self_consistency,best_of_n,rpc]", "eval.scorer=./sure.py:sure",
        "--out", "run", "--json", cwd=tmp_path,
    )  # fmt: skip
    found = json.loads(done.stdout)["data"]["benches"]["aime24"]["strategies"]
    rows = {(row["strategy"], row["selection"]): row for row in found["rows"]}
    assert set(rows) == {
        (s, c) for s in ("self_consistency", "best_of_n", "rpc") for c in ("equal tokens", "all")
    }
    one = found["one_answer"]
    assert one["problems"] == 30 and 1500 < one["tokens"] < 2500 and one["label"].endswith("/model")
    for strategy in ("self_consistency", "best_of_n", "rpc"):
        equal, everyone = rows[strategy, "equal tokens"], rows[strategy, "all"]
        assert (
            equal["tokens"] == pytest.approx(one["tokens"], rel=0.05)
            and everyone["tokens"] > equal["tokens"]
        )
        assert equal["difference"]["problems"] == 30
    assert rows["best_of_n", "all"]["accuracy"]["value"] > 0.8  # it is sure only where it is right
    scores = list(read_rows(tmp_path / "run" / "eval" / "responses" / "aime24" / "scores.jsonl"))
    assert len(scores) == 210 and {row["outcome"] for row in scores} == {"value", "abstain"}
    assert found["missing"] == ["sure gave 30 of 210 responses no score (30 abstain)"]
    page = (tmp_path / "run" / "report.html").read_text()
    assert "one answer: " in page and "equal tokens" in page and "sure gave 30 of 210" in page


def test_what_cannot_be_compared_is_refused_before_anything_is_drawn(
    long: Path, shared_data: Path
) -> None:
    recipe = evaluation_recipe(
        "model", {"benches": ["aime24"], "strategies": ["rpc"], "against": str(long)}
    )
    bench = bench_of(shared_data)
    assert reference_answers(recipe, [bench])["aime24"].problems.keys() == {
        problem.id for problem in bench.problems
    }
    with pytest.raises(UsageError, match="aime24: bench_digest differs"):
        reference_answers(recipe, [bench_of(shared_data, limit=3)])
    with pytest.raises(UsageError, match="aime24: verifier differs"):
        reference_answers(recipe, [replace(bench, verifier=PluginUse(use="exact_match"))])
    with pytest.raises(UsageError, match="other was not evaluated here, only aime24"):
        reference_answers(recipe, [replace(bench, name="other")])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"strategies": ["majority"]}, "self_consistency"),
        ({"against": "run"}, "against is for strategies"),
        (
            {"strategies": ["rpc"], "scorer": "length"},
            "scorer is for the strategies best_of_n and weighted_vote",
        ),
        (
            {"strategies": ["rpc"], "forcing": {"waits": 3}},
            "forcing is for the strategy budget_forcing",
        ),
        (
            {"strategies": ["budget_forcing"], "responses": "r.jsonl"},
            "needs a model, and eval.responses has none",
        ),
        ({"strategies": ["best_of_n"], "scorer": "lenght"}, 'did you mean "length"'),
        ({"strategies": ["best_of_n"], "scorer": "./none.py:sure"}, "none.py"),
    ],
)
def test_a_wrong_strategy_is_told_with_the_next_move(
    tmp_path: Path, settings: dict[str, Any], words: str
) -> None:
    with pytest.raises(RecipeError, match=words):
        evaluation_recipe(str(tmp_path), {"benches": ["aime24"], **settings})


def test_a_real_model_is_forced_and_its_log_probabilities_are_used(tmp_path: Path) -> None:
    heldout = {"source": "task:pair_sum", "split": "test", "rows": 6}
    data, settings = (
        Data.model_validate({"heldout": heldout}),
        Eval(samples=4, max_new_tokens=16, strategies=ALL),
    )
    bench = Benches(settings, data).load("heldout")
    recipe = Recipe.model_validate(
        {"name": "x", "model": {"path": "x"}, "data": data, "eval": settings}
    )
    shape = FromScratch(
        hidden_size=32, num_layers=1, num_heads=2, intermediate_size=64, max_length=96
    )
    model, tokenizer = new_model(shape, [problem.problem for problem in bench.problems], 0)
    paths = AnswerPaths(tmp_path / "answers")
    found = evaluate(
        bench,
        LocalSampler(model, tokenizer, "fp32"),
        judge,
        settings,
        seed=0,
        prompt=str,
        paths=paths,
        strategies=partial(run_strategies, recipe, bench, None, paths.scores),
    ).strategies
    rows = list(read_rows(paths.samples))
    forced = [row for row in rows if row["kind"] == "forced"]
    assert len(forced) == 6 and all(0 < row["num_tokens"] <= 16 for row in forced)
    assert all(
        " Wait" in row["response"] or "\n\nFinal Answer:" in row["response"] for row in forced
    )
    assert all(row["scores"]["logprob"] < 0 for row in rows if row["kind"] == "sample")
    assert found and found.one_answer and found.one_answer.label == "budget_forcing"
    assert found.missing == [] and found.scorer == "logprob"
    assert {row.strategy for row in found.rows} == {*ALL, "greedy"} - {"budget_forcing"}
