"""`rlsp check --roll N`: replies of the recipe's own model, and what they show."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.conftest import rlsp


@pytest.fixture(scope="module")
def model(tiny_run: Path) -> Path:
    """A trained model of one layer."""
    return tiny_run / "run" / "sft" / "checkpoints" / "final"


def check(recipe: Path, model: Path, roll: int, *words: str) -> "subprocess.CompletedProcess[str]":
    given = ["model.from_scratch=null", f"model.path={model}", *words]
    return rlsp("check", recipe, *given, "--roll", str(roll), cwd=recipe.parent, check=False)


@pytest.mark.integration
def test_replies_are_sampled_by_groups_and_scored_as_in_ppo(tiny_recipe: Path, model: Path) -> None:
    given = ["ppo.samples_per_prompt=3", "ppo.estimator=rloo", "ppo.critic_warmup_steps=0"]
    done = check(tiny_recipe, model, 7, *given, "sft=null", "reward.alpha=0.5", "--json")
    found = json.loads(done.stdout)["data"]["roll"]
    replies = found["replies"]

    assert [one["id"] for one in replies] == ["train-0"] * 3 + ["train-1"] * 3 + ["train-2"]
    assert len({one["response"] for one in replies[:3]}) > 1
    for one in replies:
        right, length = (part["value"] for part in one["components"])
        assert one["reward"] == pytest.approx(0.5 * right + 0.5 * length)
        assert -1 <= length < 0 and one["prompt"].startswith("Which two of")

    states = {one["check"]: one["state"] for one in found["checks"]}
    assert {"chat template", "gold is right", "replies vary", "replies end"} <= set(states)
    assert done.returncode == (6 if "failed" in states.values() else 0)


@pytest.mark.integration
def test_few_problems_get_more_replies_each(tiny_recipe: Path, model: Path) -> None:
    done = check(tiny_recipe, model, 6, "data.prompts.rows=2", "sft=null", "--json")
    replies = json.loads(done.stdout)["data"]["roll"]["replies"]
    assert [one["id"] for one in replies] == ["train-0"] * 3 + ["train-1"] * 3


@pytest.mark.integration
def test_replies_that_are_cut_off_fail_unless_sft_comes_first(
    tiny_recipe: Path, model: Path
) -> None:
    done = check(tiny_recipe, model, 4, "ppo.max_new_tokens=1", "sft=null")
    assert done.returncode == 6
    assert "replies end: 4 of 4 replies were cut off\n" in done.stdout
    assert "likely: the end token never comes" in done.stdout
    assert "Which two of" in done.stdout.split("---")[0], "one reply is shown whole"

    before = check(tiny_recipe, model, 4, "ppo.max_new_tokens=1")
    assert "4 of 4 replies were cut off; the recipe's SFT comes before" in before.stdout


@pytest.mark.integration
def test_a_recipe_that_no_model_can_answer_is_refused(tiny_recipe: Path) -> None:
    for words, reason in (
        (["ppo=null"], "there is no `ppo`"),
        ([], "a model from scratch has nothing to say before SFT; use `rlsp smoke`"),
    ):
        done = rlsp("check", tiny_recipe, *words, "--roll", "4", check=False)
        assert done.returncode == 2 and reason in done.stderr
