"""The models that plugins ask stand in the tables of `rlsp plan`: what they take, and what they are asked about."""

import pytest

from rlsp_cli.backends.model_shape import model_shape
from rlsp_cli.cli.plan import print_plan
from rlsp_cli.plan import GIB, Plan, make_plan
from rlsp_cli.plan.asked_models import AskedModel
from rlsp_cli.recipe.load import load_recipe
from rlsp_cli.recipe.model import Model
from rlsp_cli.recipe.shipped import find_recipe
from rlsp_cli.rewards.registry import resolve_options
from tests.optional import present

MODELS = (
    "models={judge: {path: Qwen/Qwen2.5-7B-Instruct}, far: {url: 'http://h/v1', id: m}, "
    "prm: {path: ./none}, prover: {path: Qwen/Qwen2.5-7B-Instruct, serve: vllm}}"
)
REWARDS = (
    "reward.exploration=[{use: prm, model: prm, steps: {by: sentences}}, "
    "{use: value_mc, model: prover, steps: {by: sentences}}, "
    "{use: judge_steps, model: judge, steps: {by: sentences}}, "
    "{use: implicit_prm, model: judge, base: judge, steps: {by: sentences}}]"
)
EVAL = (
    "eval.strategies=[best_of_n, search]",
    "eval.scorer={use: judge_steps, model: far, steps: {}}",
    "eval.search={scorer: {use: judge_steps, model: self}, budget: 1000}",
)


def planned(*overrides: str) -> Plan:
    words = (MODELS, REWARDS, *EVAL, *overrides)
    return make_plan(load_recipe(find_recipe("quickstart"), words, plugins=resolve_options))


def by_name(plan: Plan) -> dict[tuple[str, str], AskedModel]:
    return {(one.stage, one.model): one for one in plan.models}


def test_each_model_is_in_the_table_of_the_stage_that_asks_it() -> None:
    found = by_name(planned())
    asked = {place: one.asked_by for place, one in found.items()}
    first, *others = (f"reward.exploration.{number}" for number in range(4))
    assert asked == {
        ("ppo", "prm"): (first,),
        ("ppo", "prover"): (others[0],),
        ("ppo", "judge"): (others[1], others[2]),
        ("eval", "far"): ("eval.scorer",),
    }
    # 24 rollouts of 256; a prompt and a response are what the model from scratch can read.
    one = found["ppo", "prm"]
    assert (one.responses, one.tokens) == (24 * 256, 24 * 256 * 192)
    assert found["ppo", "judge"].tokens == 2 * present(one.tokens)


def test_what_a_model_takes_depends_on_what_serves_it() -> None:
    on_cpu = by_name(planned())
    parameters = present(model_shape(Model(path="Qwen/Qwen2.5-7B-Instruct"))).parameters
    assert on_cpu["ppo", "judge"].weights == 4 * parameters
    assert on_cpu["ppo", "prm"].weights is None
    far = on_cpu["eval", "far"]
    assert (far.served, far.weights, far.gpus, far.cache) == ("a server", 0, 0, 0)

    on_gpus = by_name(planned("cluster.gpus_per_node=4"))
    judge, prover = on_gpus["ppo", "judge"], on_gpus["ppo", "prover"]
    assert (judge.weights, judge.gpus, judge.cache) == (2 * parameters, 1, 0)
    assert (prover.weights, prover.gpus, prover.cache) == (2 * parameters, 4, 4 * GIB)


def test_a_search_counts_in_evaluation_with_its_budget() -> None:
    (counts,) = (counts for counts in planned().counts if counts.stage == "eval")
    drawn, searched = 400 * 2 * 5, 400 * 2
    assert counts.responses == drawn + searched
    assert counts.tokens == drawn * 128 + searched * 1000


def test_the_table_is_an_estimate_and_says_what_it_leaves_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_plan(planned())
    told = capsys.readouterr().out
    assert "estimate of the models that plugins ask" in told
    assert "vLLM takes 4 GiB" in told and "more where a plugin has it write" in told
    row = next(line for line in told.splitlines() if line.split()[:2] == ["ppo", "prm"])
    assert row.split() == [
        "ppo",
        "prm",
        "embedded",
        "0",
        "-",
        "reward.exploration.0",
        "6,144",
        "1,179,648",
    ]
