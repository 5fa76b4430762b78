"""Schedules over rollout steps: of source weights, alpha and a selector's band."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from rlsp_cli.data import Problem
from rlsp_cli.engine.batch import rows_from
from rlsp_cli.engine.order import Curriculum, Shuffled, order_of
from rlsp_cli.errors import DataError, RecipeError
from rlsp_cli.plan import make_plan
from rlsp_cli.plan.schedules import courses
from rlsp_cli.recipe.load import resolve_recipe
from rlsp_cli.recipe.reward import Reward
from rlsp_cli.recipe.schedule import Schedule
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.recipe.selector_use import SelectorUse
from rlsp_cli.rewards.sample import Sample
from rlsp_cli.rewards.selection import Selector
from tests.conftest import load_checked

RECIPE = """\
schema_version: 1
name: curriculum
model:
  from_scratch: {hidden_size: 16, num_layers: 1, num_heads: 1, intermediate_size: 32, max_length: 96}
data:
  prompts:
    - {source: "task:pair_sum", rows: 40, weight: {start: 1, end: 0}}
    - {source: "task:pair_sum", rows: 8, options: {largest: 30}, weight: {start: 0, end: 1}}
reward: {alpha: {start: 1, end: 0.5}, correctness: {use: exact_match}}
ppo:
  steps: 5
  rollout_batch: 8
  samples_per_prompt: 2
  train_batch: 8
  max_prompt_tokens: 32
  max_new_tokens: 16
  critic_warmup_steps: 1
  select: {use: pass_rate, lo: {start: 0.0, end: 0.4}, hi: 1.0}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "curriculum.yaml"
    path.write_text(RECIPE)
    return path


def taken(order: Curriculum, steps: int, count: int) -> list[Counter[str]]:
    """How many rows of each source a step takes; rows from 100 are the second source's."""
    found = []
    for step in range(steps):
        rows = order.take(count, step)
        found.append(Counter("ab"[row >= 100] for row in rows))
    return found


def curriculum(first: Sequence[int], second: Sequence[int], seed: int = 0) -> Curriculum:
    weights = [Schedule(start=1, end=0), Schedule(start=0, end=1)]
    return Curriculum([first, second], weights, 5, seed)


def test_each_step_has_the_shares_of_its_weights() -> None:
    found = taken(curriculum(range(100), range(100, 200)), 5, 8)
    assert [step["a"] for step in found] == [8, 6, 4, 2, 0]


def test_small_shares_add_up_over_the_steps() -> None:
    """A tenth of 4 prompts a step is 2 of them in 5 steps, although no step alone has a whole one."""
    order = Curriculum([range(100), range(100, 200)], [0.9, 0.1], 5, 0)
    assert sum(step["b"] for step in taken(order, 5, 4)) == 2


def test_a_source_is_passed_over_again_when_it_is_used_up() -> None:
    order = Curriculum([[7, 8, 9], [100]], [1.0, 0.0], 2, 0)
    rows = order.take(6, 0)
    assert sorted(rows[:3]) == sorted(rows[3:]) == [7, 8, 9]


def test_the_order_goes_on_from_its_state_and_follows_from_the_seed() -> None:
    whole, again = curriculum(range(9), range(100, 109)), curriculum(range(9), range(100, 109))
    before = [whole.take(5, step) for step in range(5)]
    assert [again.take(5, step) for step in range(3)] == before[:3]

    resumed = curriculum(range(9), range(100, 109))
    resumed.state = again.state
    assert [resumed.take(5, step) for step in (3, 4)] == before[3:]

    other = curriculum(range(9), range(100, 109), seed=1)
    assert other.take(5, 0) != before[0]


def test_without_schedules_prompts_come_in_shuffled_passes() -> None:
    recipe = resolve_recipe({"name": "x", "seed": 3, "data": {"prompts": {"source": "x.jsonl"}}})
    problems = [Problem(str(row), "", "") for row in range(6)]
    order = order_of(recipe, problems, 9)
    assert isinstance(order, Shuffled)
    assert order.take(4, 0) + order.take(4, 1) == rows_from(0, 6, 8, 3)


def test_a_source_with_a_weight_and_no_problems_is_refused() -> None:
    with pytest.raises(DataError, match=r"data.prompts.1: it has a weight and no problem"):
        curriculum(range(9), [])


def test_a_selector_chooses_by_the_options_of_the_step() -> None:
    band: dict[str, Any] = {"lo": {"start": 0.0, "end": 1.0}, "hi": 1.0}
    use = SelectorUse(use="pass_rate", **band)
    half_right = [Sample("p", "", None, id="a", correct=right) for right in (0.0, 1.0)]
    with Selector(use, Reward(workers=1)) as selector:
        dropped = [selector.choose([half_right], step, 3)[0].drops_prompt for step in range(3)]
    assert dropped == [False, False, True]  # lo is 0, 0.5 and 1


def test_the_recipe_keeps_its_schedules(file: Path) -> None:
    recipe = load_checked(file)
    assert recipe.ppo and recipe.ppo.select
    assert recipe.ppo.select.options == {"lo": Schedule(start=0.0, end=0.4), "hi": 1.0}
    again = Recipe.model_validate(recipe.model_dump(mode="json"))
    assert again.ppo == recipe.ppo and again.data == recipe.data


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("ppo.select.lo={start: low, end: 1}", "option lo of pass_rate: input should be a valid"),
        ("ppo.select.lo={start: 0, end: high}", "option lo of pass_rate: input should be a valid"),
        ("ppo.select.lo={start: 0, end: 1, shap: linear}", 'ppo.select.lo - did you mean "shape"'),
        ("reward.alpha={start: 0, end: 1.5}", "less than or equal to 1"),
        ("data.prompts.0.weight={start: -1, end: 1}", "greater than or equal to 0"),
        ("data.prompts.0.weight={start: 0, end: 1}", "data.prompts: the weights are all 0"),
        ("data.prompts.1.weight={start: 1, end: 0}", "data.prompts: the weights are all 0"),
    ],
)
def test_wrong_schedules_are_refused(file: Path, change: str, words: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_checked(file, change)
    assert words in str(caught.value)


def test_openrlhf_refuses_what_changes_over_its_steps(file: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        load_checked(file, "ppo.backend=openrlhf")
    assert str(caught.value).count("OpenRLHF shuffles all prompts") == 2
    assert "OpenRLHF's band is the same in all steps" in str(caught.value)


def test_a_plan_shows_what_schedules_do(file: Path) -> None:
    courses = {course.key: course for course in make_plan(load_checked(file)).schedules}
    assert [step for step, _ in courses["reward.alpha"].values] == [1, 2, 3, 4, 5]
    assert [value for _, value in courses["reward.alpha"].values] == pytest.approx(
        [1, 0.875, 0.75, 0.625, 0.5]
    )
    assert courses["ppo.select.lo"].values[-1] == (5, 0.4)

    # Shares of 1, 3/4, 1/2, 1/4 and 0 of 8 prompts a step.
    first, second = courses["data.prompts.0"], courses["data.prompts.1"]
    assert first.prompts == second.prompts == 20
    assert first.passes == 0.5 and second.passes == 2.5


def test_the_weight_of_a_single_source_changes_nothing(file: Path) -> None:
    recipe = load_checked(file)
    source = recipe.data.prompt_sources[1]
    alone = recipe.model_copy(
        update={"data": recipe.data.model_copy(update={"prompts": (source,)})}
    )
    assert not [one.key for one in courses(alone, 5) if one.key.startswith("data.prompts")]


def test_options_that_only_look_alike_are_no_schedules() -> None:
    given: dict[str, Any] = {"window": {"start": 1}, "names": ["start", "end"]}
    assert SelectorUse(use="mine", **given).options_at(3, 9) == given
