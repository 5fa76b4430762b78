"""Probes: what each asks, and the difference to the plain bench, with parts counted as one problem."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rlsp_cli.data import Problem
from rlsp_cli.errors import DataError, RecipeError
from rlsp_cli.evals.answer import Scored
from rlsp_cli.evals.benches import Bench, probed
from rlsp_cli.evals.compare import compare_probes
from rlsp_cli.launch.evaluation import evaluation_recipe
from rlsp_cli.recipe.eval import Eval
from rlsp_cli.recipe.rows import RowUse
from rlsp_cli.rewards.sample import Score
from tests.conftest import rlsp
from tests.openai_server import Reply, chat, serving

PARTS = {
    "plan": ["add", "double"],
    "knowledge": "A double is twice.",
    "subquestions": ["1+2?", "twice 3?"],
    "subanswers": [3, "6"],
}
SUM = Problem("s", "Double \\frac{1+2}{1}.", "6", PARTS)
BENCH = Bench("sums", [SUM], "by hand")


def asked(use: str, **options: Any) -> list[Problem]:
    return list(probed(BENCH, RowUse(use=use, **options), ()).problems)


def test_a_plan_and_knowledge_stand_behind_the_problem() -> None:
    (planned,) = asked("plan_given")
    assert planned.problem == f"{SUM.problem}\n\nFollow this plan:\n1. add\n2. double"
    assert (planned.id, planned.answer, planned.parent) == ("s", "6", "")

    (known,) = asked("knowledge_given", text="{knowledge} {problem}")
    assert known.problem == f"A double is twice. {SUM.problem}"


def test_selective_reasoning_asks_to_decide_behind_the_problem() -> None:
    (chosen,) = asked("selective_reasoning")
    assert chosen.problem.startswith(f"{SUM.problem}\n\nDecide first whether")
    assert (chosen.id, chosen.answer, chosen.parent) == ("s", "6", "")

    (short,) = asked("selective_reasoning", text="Think or not: {problem}")
    assert short.problem == f"Think or not: {SUM.problem}"


def test_words_of_a_rationale_are_masked_or_change_places_and_the_problem_stays() -> None:
    why = "first add,  then double"
    given = replace(SUM, problem=f"Why? {why}\nAnswer.", metadata={"why": why})
    bench = replace(BENCH, problems=[given])

    def perturbed(**options: Any) -> str:
        use = RowUse.model_validate(
            {"use": "rationale_perturbation", "rationale": "why", **options}
        )
        (made,) = probed(bench, use, ()).problems
        assert (made.id, made.answer) == ("s", "6")
        return made.problem

    assert perturbed() == "Why? _ _  _ _\nAnswer."
    shuffled = perturbed(how="shuffle")
    assert sorted(shuffled.split()) == sorted(given.problem.split()) and why not in shuffled
    assert shuffled.startswith("Why? ") and shuffled.endswith("\nAnswer.")
    assert perturbed(share=0) == given.problem and perturbed(share=0.5) == perturbed(share=0.5)
    with pytest.raises(DataError, match=r"'plan' is not in the problem; .*knowledge: plan"):
        asked("rationale_perturbation", rationale="plan")


def test_each_part_is_asked_with_the_answers_before_it() -> None:
    first, second = asked("subquestions")
    assert first.problem == f"{SUM.problem}\n\nAnswer only this: 1+2?"
    assert second.problem == f"{SUM.problem}\n\n1+2?\n3\n\nAnswer only this: twice 3?"
    assert [(one.id, one.answer, one.parent) for one in (first, second)] == [
        ("s/0", "3", "s"),
        ("s/1", "6", "s"),
    ]


def test_a_missing_column_and_lists_of_other_lengths_name_the_problem() -> None:
    with pytest.raises(DataError, match=r"sums: problem s: plan_given .*KeyError: 'hints'"):
        asked("plan_given", plan="hints")
    with pytest.raises(DataError, match=r"sums: problem s: subquestions .*ValueError"):
        asked("subquestions", answers="knowledge")


def scored(id: str, right: float, parent: str = "") -> Scored:
    score = Score("exact_match", "value", right)
    return Scored(id=id, kind="greedy", index=0, correctness=score, parent=parent)


def test_the_difference_is_of_rows_and_parts_of_one_row_are_their_mean() -> None:
    plain = [scored("a", 0.0), scored("b", 1.0), scored("c", 0.0)]
    parts = [
        *(scored("a/0", 1.0, "a"), scored("a/1", 1.0, "a")),
        *(scored("b/0", 1.0, "b"), scored("b/1", 0.0, "b")),
        *(scored("c/0", 1.0, "c"), scored("c/1", 0.0, "c")),
    ]
    rows = {"base": {"sums": plain, "sums+subquestions": parts}}
    (found,) = compare_probes(rows, {"sums+subquestions": "sums"})

    # a: 1 - 0, b: 0.5 - 1, c: 0.5 - 0
    assert found.moved.difference == pytest.approx((1.0 - 0.5 + 0.5) / 3)
    assert (found.moved.problems, found.moved.differ) == (3, 3)
    assert (found.before, found.after, found.bench) == ("base", "base on sums+subquestions", "sums")


def test_probes_of_one_name_and_probes_of_given_responses_are_refused() -> None:
    twice = [{"use": "plan_given"}, {"use": "plan_given", "plan": "other"}]
    with pytest.raises(RecipeError, match="two probes are called 'plan_given'"):
        evaluation_recipe("org/name", {"benches": ["aime24"], "probes": twice})
    with pytest.raises(ValueError, match="probes ask other questions"):
        Eval(responses="r.jsonl", probes=({"use": "plan_given"},))  # type: ignore[arg-type]
    with pytest.raises(RecipeError, match="plan_givn"):
        evaluation_recipe("org/name", {"benches": ["aime24"], "probes": [{"use": "plan_givn"}]})


BENCH_FILE = """
name: sums
description: Doubles of sums.
problems: 6
source: ./sums.jsonl
prompt: {template: "{problem}", origin: ours}
verifier: {use: exact_match}
sampling: {samples: 0, temperature: 0.7, max_new_tokens: 64, origin: ours}
"""


GIVEN = """
columns: {answer: reference}
row: {use: knowledge_given, knowledge: response}
"""


@pytest.mark.integration
def test_one_command_gives_the_difference_to_the_plain_bench(tmp_path: Path) -> None:
    rows = [{"id": str(n), "problem": f"Q{n}", "answer": "6", **PARTS} for n in range(6)]
    (tmp_path / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "sums.yaml").write_text(BENCH_FILE)

    def reply(body: dict[str, Any]) -> Reply:
        helped = "plan" in body["messages"][-1]["content"]
        return chat("\\boxed{6}" if helped else "\\boxed{7}")

    with serving(reply) as server:
        done = rlsp(
            *("eval", "m", "--url", server.url, "--bench", "./sums.yaml", "--json"),
            "eval.probes=[{use: plan_given}]",
            cwd=tmp_path,
        )
    results = json.loads(done.stdout)["data"]["evaluation"]
    (difference,) = results["comparisons"]
    assert difference["difference"] == 1.0 and difference["to"] == "base on sums+plan_given"
    assert difference["problems"] == 6 and difference["low"] > 0
    assert set(results["models"]["base"]["benches"]) == {"sums", "sums+plan_given"}


@pytest.mark.integration
def test_a_model_that_reads_its_rationale_loses_by_its_perturbation(tmp_path: Path) -> None:
    rows = [{"problem": f"Q{n}", "reference": "6", "response": "add and double"} for n in range(6)]
    (tmp_path / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "given.yaml").write_text(
        BENCH_FILE.replace("sums.jsonl", "samples.jsonl").replace("sums", "given") + GIVEN
    )

    def reply(body: dict[str, Any]) -> Reply:
        reads = "add and double" in body["messages"][-1]["content"]
        return chat("\\boxed{6}" if reads else "\\boxed{7}")

    with serving(reply) as server:
        done = rlsp(
            *("eval", "m", "--url", server.url, "--bench", "./given.yaml", "--json"),
            "eval.probes=[{use: rationale_perturbation, rationale: response}]",
            cwd=tmp_path,
        )
    (found,) = json.loads(done.stdout)["data"]["evaluation"]["comparisons"]
    assert (found["difference"], found["problems"]) == (-1.0, 6)
