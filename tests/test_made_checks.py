"""Replies made for a recipe's problems: a reward that could never teach anything is seen at once."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from rlsp_cli.preflight import Checked, look_at_made_replies, read_recipe
from rlsp_cli.rewards.token_count import token_counter

pytestmark = pytest.mark.integration  # rewards are tried in processes of their own

RECIPE = """\
name: sums
model:
  from_scratch: {hidden_size: 32, num_layers: 1, num_heads: 2, intermediate_size: 64, max_length: 96}
data:
  prompts: {source: prompts.jsonl}
reward: {alpha: 0.8, correctness: {use: exact_match}, workers: 1}
ppo: {steps: 8, rollout_batch: 8, train_batch: 8, max_new_tokens: 64}
"""
PLUGINS = """\
import math
from rlsp_cli.rewards import Sample, Verdict, exploration_reward, verifier

@verifier
def dead(sample: Sample) -> Verdict:
    return Verdict(sample.response == sample.reference + "!", None)

@verifier
def generous(sample: Sample) -> Verdict:
    return Verdict(sample.reference is not None, None)

@verifier
def quiet(sample: Sample) -> Verdict | None:
    return None if sample.reference else Verdict(False, None)

@exploration_reward
def constant(sample: Sample) -> float:
    return 0.5

@exploration_reward
def nothing(sample: Sample) -> float:
    return 0.0

@exploration_reward
def loud(sample: Sample) -> float:
    return float(not sample.correct)

@exploration_reward
def no_number(sample: Sample) -> float:
    return math.nan
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a recipe, its problems, whose rows have solutions, and plugins."""
    (tmp_path / "r.yaml").write_text(RECIPE)
    (tmp_path / "p.py").write_text(PLUGINS)
    rows = [
        {
            "problem": f"What is {n} + {n}?",
            "answer": str(2 * n),
            "solution": f"{n} + {n} is \\boxed{{{2 * n}}}.",
            "level": f"level {n % 3}",
            "same": "yes",
            "prose": "To add two numbers means to count on from the first one. " * 6,
        }
        for n in range(1, 41)
    ]
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def look(folder: Path, *overrides: str) -> Mapping[str, Checked]:
    recipe, _ = read_recipe(str(folder / "r.yaml"), overrides)
    count = token_counter(recipe.model)
    assert count
    return {one.check: one for one in look_at_made_replies(recipe, count)}


def failed(folder: Path, *overrides: str) -> set[str]:
    return {name for name, one in look(folder, *overrides).items() if one.state == "failed"}


def traces(folder: Path) -> tuple[str, str]:
    """Overrides that make the solutions of the problems the traces of an SFT."""
    return f"data.traces={{source: {folder / 'prompts.jsonl'}}}", "sft={batch: 2}"


def test_a_sound_reward_passes_every_check(folder: Path) -> None:
    found = look(folder, "reward.exploration={use: length, scale: 10}")
    assert {one.state for one in found.values()} == {"passed"}
    assert len(found) == 9


def test_a_verifier_that_accepts_nothing_is_seen_without_a_model(folder: Path) -> None:
    found = look(folder, f"reward.correctness.use={folder / 'p.py'}:dead", "reward.alpha=1")
    assert found["gold is right"].state == found["right pays more"].state == "failed"
    assert "0 of 8 references" in found["gold is right"].found
    assert "not '2' of row 0" in found["gold is right"].found


def test_a_verifier_that_accepts_everything_is_seen(folder: Path) -> None:
    found = failed(folder, f"reward.correctness.use={folder / 'p.py'}:generous")
    assert {"wrong is wrong", "empty is wrong", "right pays more"} <= found


def test_a_verifier_that_abstains_from_right_answers_is_seen(folder: Path) -> None:
    found = look(folder, f"reward.correctness.use={folder / 'p.py'}:quiet")
    assert found["replies are scored"].state == "failed"
    assert "quiet: abstain" in found["replies are scored"].found


@pytest.mark.parametrize("column", ["level", "prose"])
def test_a_wrong_column_of_answers_is_seen_by_solutions_or_by_its_length(
    folder: Path, column: str
) -> None:
    found = look(folder, f"data.prompts.answer={column}")
    assert found["the column of references"].state == "failed"
    assert column in (found["the column of references"].cause or "")


def test_a_column_that_is_the_same_in_every_row_is_no_column_of_answers(folder: Path) -> None:
    assert "gold is right" in failed(folder, "data.prompts.answer=same")


def test_one_problem_is_too_few(folder: Path) -> None:
    file = folder / "prompts.jsonl"
    file.write_text(file.read_text().splitlines()[0] + "\n")
    found = look(folder)["gold is right"]
    assert found.state == "failed" and "there is one problem" in found.found
    assert "too few" in (found.cause or "")


def test_a_form_that_nothing_asks_for_is_seen_and_asking_mends_it(folder: Path) -> None:
    boxed = "reward.correctness={use: math_verify, extract: boxed}"
    found = look(folder, boxed)["the form is asked for"]
    assert found.state == "failed" and "\\boxed{}" in found.found

    asked = 'data.template="{problem} Put the answer into \\\\boxed{}."'
    assert look(folder, boxed, asked)["the form is asked for"].state == "passed"


def test_a_form_that_traces_teach_need_not_be_asked_for(folder: Path) -> None:
    boxed = "reward.correctness={use: math_verify, extract: boxed}"
    found = look(folder, boxed, *traces(folder))
    assert found["the form is asked for"].found == "32 of 32 traces have \\boxed{}"


def test_replies_that_cannot_hold_an_answer_are_seen(folder: Path) -> None:
    assert "room for an answer" in failed(folder, "ppo.max_new_tokens=3")
    assert "room for an answer" in failed(folder, *traces(folder), "ppo.max_new_tokens=6")


@pytest.mark.parametrize(("name", "state"), [("constant", "failed"), ("nothing", "untested")])
def test_an_exploration_reward_that_is_always_the_same_is_seen(
    folder: Path, name: str, state: str
) -> None:
    """One that pays nothing may look for what made replies do not have."""
    found = look(folder, f"reward.exploration={{use: {folder / 'p.py'}:{name}}}")
    assert found["exploration varies"].state == state


def test_a_length_reward_whose_scale_is_beyond_every_reply_is_seen(folder: Path) -> None:
    assert "exploration varies" in failed(folder, "reward.exploration={use: length, scale: 1000}")


def test_an_exploration_reward_that_outweighs_correctness_is_seen(folder: Path) -> None:
    loud = f"reward.exploration={{use: {folder / 'p.py'}:loud, weight: 9}}"
    assert failed(folder, loud) == {"right pays more"}


def test_a_reward_that_is_no_number_is_seen(folder: Path) -> None:
    found = failed(folder, f"reward.exploration={{use: {folder / 'p.py'}:no_number}}")
    assert "replies are scored" in found


def test_without_references_nothing_is_claimed(folder: Path) -> None:
    found = look(folder, "data.prompts.answer=none")
    assert [one.state for one in found.values()] == ["untested"]
