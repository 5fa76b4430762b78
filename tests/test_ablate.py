"""Ablations: which runs there are, what they share, and what is said of them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from rlsp_cli.ablate.ablation import Ablation, ArmRun, sft_sources, take_sft
from rlsp_cli.ablate.comparison import Evaluated, compare_arms, protocol_notes
from rlsp_cli.ablate.cost import cost_of, plan_cost
from rlsp_cli.ablate.design import Design, read_design
from rlsp_cli.ablate.factor import read_factors
from rlsp_cli.ablate.paths import AblationPaths
from rlsp_cli.ablate.report import summarise_ablation
from rlsp_cli.ablate.write import write_report
from rlsp_cli.errors import RecipeError, UsageError
from rlsp_cli.runs.stream import append_rows, read_json, write_json
from tests.conftest import rlsp

ALPHA, SCALE = "reward.alpha=0.8,1.0", "reward.exploration.scale=10,100"


def design(recipe: Path, *over: str, seeds: int = 2, overrides: tuple[str, ...] = ()) -> Design:
    return read_design(str(recipe), overrides, over, seeds)


def test_the_grid_is_the_product_of_the_factors_from_each_seed(tiny_recipe: Path) -> None:
    found = design(tiny_recipe, ALPHA, SCALE)
    assert [arm.name for arm in found.arms] == [
        "alpha=0.8,scale=10",
        "alpha=0.8,scale=100",
        "alpha=1.0,scale=10",
        "alpha=1.0,scale=100",
    ]
    last = found.arms[-1]
    assert list(last.recipes) == [3, 4]  # from the recipe's own seed on
    assert all(recipe.seed == seed for seed, recipe in last.recipes.items())
    assert last.recipe.reward.exploration[0].options["scale"] == 100


def test_values_are_yaml_and_commas_inside_of_them_separate_nothing() -> None:
    (factor,) = read_factors(["reward.exploration={use: length, scale: 3},[],null"])
    assert factor.values == ({"use": "length", "scale": 3}, [], None)
    (factor,) = read_factors(["a=1e-5,'x, y',yes"])
    assert factor.values == (1e-5, "x, y", "yes")
    assert list(factor.overrides) == ["a=1e-05", 'a="x, y"', 'a="yes"']


def test_a_plan_of_what_cannot_be_resumed_is_refused(tiny_recipe: Path, tmp_path: Path) -> None:
    over = ("--over", "reward.alpha=0.8,1.0", "--dry-run", "--resume", "--out", tmp_path / "no")
    done = rlsp("ablate", tiny_recipe, *over, check=False)
    assert done.returncode == 2 and "no ablation here" in done.stderr


@pytest.mark.parametrize(
    ("over", "seeds", "words"),
    [
        (["reward.alpha=0.8"], 2, "one value varies nothing"),
        (["reward.alpha"], 2, "expected KEY=VALUE,VALUE"),
        (["reward.alpha=0.8,,1"], 2, "expected YAML values between commas"),
        (["reward.alpha=1,1.0"], 2, "alpha=1 and alpha=1.0 are the same recipe"),
        (["name=a,b"], 2, "name=a and name=b are the same recipe"),
        (["seed=1,2"], 2, "use --seeds N"),
        ([ALPHA, ALPHA], 2, "given 2 times"),
        (["eval=null,{}"], 2, "eval=null: settings are compared by their evaluation"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    tiny_recipe: Path, over: list[str], seeds: int, words: str
) -> None:
    with pytest.raises(UsageError, match=words.replace("(", r"\(")):
        design(tiny_recipe, *over, seeds=seeds)


def test_a_wrong_key_is_told_once_and_a_wrong_value_with_its_arm(tiny_recipe: Path) -> None:
    with pytest.raises(RecipeError) as error:
        design(tiny_recipe, "reward.alhpa=0.8,1.0", SCALE)
    assert 'unknown key "alhpa" in reward - did you mean "alpha"?' in str(error.value)
    assert len(str(error.value).splitlines()) == 1 and "(in " not in str(error.value)

    with pytest.raises(RecipeError) as error:
        design(tiny_recipe, "reward.alpha=0.8,1.5", SCALE)
    (line,) = str(error.value).splitlines()
    assert line.endswith("found 1.5 (in alpha=1.5,scale=10 and 1 more)")


def test_the_baseline_has_the_recipes_own_values_where_they_are_in_the_grid(
    tiny_recipe: Path,
) -> None:
    alphas, scales = "reward.alpha=1.0,0.8", "reward.exploration.scale=100,1000"
    assert design(tiny_recipe, alphas, scales).baseline == "alpha=0.8,scale=100"
    own = design(tiny_recipe, alphas, scales, overrides=("reward.exploration.scale=1000",))
    assert own.baseline == "alpha=0.8,scale=1000"


def test_sft_is_shared_where_only_rewards_and_ppo_differ(tiny_recipe: Path) -> None:
    rewards = design(tiny_recipe, ALPHA, "ppo.kl_coef=0.01,0.1")
    first = rewards.arms[0].name
    assert sft_sources(rewards.arms) == {arm.name: first for arm in rewards.arms[1:]}

    both = design(tiny_recipe, "sft.max_steps=4,5", ALPHA)
    assert sft_sources(both.arms) == {
        "max_steps=4,alpha=1.0": "max_steps=4,alpha=0.8",
        "max_steps=5,alpha=1.0": "max_steps=5,alpha=0.8",
    }
    # A model from scratch has the words of its prompts.
    assert sft_sources(design(tiny_recipe, "data.prompts.rows=32,64").arms) == {}


def planned(recipe: Path, root: Path, *over: str, seeds: int = 2) -> Ablation:
    ablation = Ablation(AblationPaths(root), design(recipe, *over, seeds=seeds))
    ablation.write()
    return ablation


def test_every_run_is_a_run_folder_and_more_seeds_leave_the_old_ones(
    tiny_recipe: Path, tmp_path: Path
) -> None:
    root = tmp_path / "ablation"
    before = planned(tiny_recipe, root, ALPHA)
    before.runs[0].run.update(state="done")

    after = planned(tiny_recipe, root, ALPHA, seeds=3)
    assert [one.name for one in after.runs if one.is_done] == ["alpha=0.8, seed 3"]
    assert (root / "alpha=1.0" / "seed-5" / "resolved.yaml").exists()
    made = read_json(root / "ablation.json")["data"]
    assert made["over"] == {"reward.alpha": [0.8, 1.0]} and made["seeds"] == [3, 4, 5]
    assert made["arms"]["alpha=1.0"]["sft_of"] == "alpha=0.8"

    with pytest.raises(UsageError, match=r"started with another recipe(?s:.*)ppo.steps: 4 -> 5"):
        Ablation(after.paths, design(tiny_recipe, ALPHA, overrides=("ppo.steps=5",))).write()


def test_an_arm_links_the_sft_stage_that_it_shares(tiny_recipe: Path, tmp_path: Path) -> None:
    source, other = planned(tiny_recipe, tmp_path / "a", ALPHA, seeds=1).runs
    assert source.sft_of is None and other.sft_of == source
    write_json(source.run.paths.stage("sft").root / "job.json", {})

    take_sft(other)
    assert other.has_sft and other.run.paths.stage("sft").job.exists()
    assert not other.run.paths.stage("sft").root.readlink().is_absolute()


def test_a_plan_counts_a_shared_sft_once(tiny_recipe: Path) -> None:
    plan = plan_cost(design(tiny_recipe, ALPHA))
    own, shared = plan.arms
    assert (own.sft, shared.sft) == ("its own", "of alpha=0.8")
    assert own.tokens and shared.tokens and own.tokens - shared.tokens == 4 * 16 * 96
    assert plan.runs == 4 and plan.tokens == 2 * (own.tokens + shared.tokens)
    assert plan.hours is None  # nothing was measured


PROTOCOL = {"bench_digest": "a", "prompt_digest": "b", "verifier": {"use": "exact_match"}}


def answers(right: Mapping[str, float], **made: Any) -> Evaluated:
    return Evaluated({("heldout", "greedy"): right}, {}, {"heldout": {**PROTOCOL, **made}})


def test_arms_are_paired_with_the_baseline_of_the_same_seed() -> None:
    base = {0: answers({"a": 0, "b": 0}), 1: answers({"a": 1, "b": 0}), 3: answers({"b": 0.5})}
    other = {0: answers({"a": 1, "b": 0}), 1: answers({"a": 1, "b": 1}), 2: answers({"a": 0})}
    first, second = compare_arms({"base": base, "other": other}, "base")
    assert first.moved is None and first.accuracy == pytest.approx(1 / 3)

    assert second.moved is not None and second.seeds == 3
    assert (second.moved.seeds, second.moved.difference) == (2, 0.5)


def test_runs_that_answered_other_problems_are_not_compared_and_other_prompts_are_told() -> None:
    base, other = {0: answers({"a": 0})}, {0: answers({"a": 1}, bench_digest="c")}
    assert compare_arms({"base": base, "other": other}, "base") == []
    (note,) = protocol_notes({"base": base, "other": other})
    assert "answered different problems" in note

    other = {0: answers({"a": 1}, prompt_digest="c", seed=7)}
    (note,) = protocol_notes({"base": base, "other": other})
    assert note.startswith("heldout: the runs differ in prompt_digest,")


def finish(one: ArmRun, right: list[int]) -> None:
    """Write what a finished run leaves, with one greedy answer to each problem."""
    folder = one.run.paths.stage("eval").answers("ppo", "heldout").root
    for i, value in enumerate(right):
        score = {"outcome": "value", "value": float(value)}
        row = {"id": str(i), "kind": "greedy", "correctness": score}
        append_rows(folder / "samples.jsonl", [row])
    write_json(folder / "protocol.json", PROTOCOL)

    steps = [{"step": i, "tokens": 600, "time/tokens_per_s": 100.0} for i in range(4)]
    rows = [{**step, "correctness/mean": 0.5} for step in steps]
    append_rows(one.run.paths.stage("ppo").metrics, rows)
    one.run.update(state="done")


def test_the_report_names_what_is_not_done_and_compares_the_rest(
    tiny_recipe: Path, tmp_path: Path
) -> None:
    ablation = planned(tiny_recipe, tmp_path / "a", ALPHA, seeds=3)
    for one in ablation.runs[:4]:
        finish(one, [1, 0, 1, 0] if one.arm == "alpha=1.0" else [0, 0, 1, one.seed % 2])
    base, other = ablation.runs[4:]
    base.run.update(state="failed", stage="ppo", message="stop_at: reward is flat")

    report = write_report(ablation)
    assert list(report.unfinished) == ["alpha=0.8, seed 5", "alpha=1.0, seed 5"]
    assert report.unfinished[base.name] == "failed in ppo: stop_at: reward is flat"
    assert report.unfinished[other.name] == "not run: the SFT of alpha=0.8, seed 5 is not done"

    row = dict(zip(report.table.columns, report.table.rows[1], strict=True))
    assert row["setting"] == "alpha=1.0" and row["accuracy %"] == "50.0"
    assert row["minus baseline (95%)"].startswith("+12.5 (-")
    assert row["verdict"] == "cannot be told apart" and row["seeds"] == "2"
    assert row["tokens, thousands"] == "2" and row["minutes"] == "0.4"
    assert report.outcome == ["heldout, greedy: 1 cannot be told apart"]

    text = ablation.paths.report_markdown.read_text()
    assert "| alpha=1.0 | heldout | greedy | 50.0 | +12.5 (-" in text
    assert "- alpha=0.8, seed 5: failed in ppo: stop_at: reward is flat" in text
    document = json.loads(ablation.paths.report_json.read_text())
    assert document["data"]["results"][1]["moved"]["seeds"] == 2


def test_the_page_shows_table_plots_and_runs_and_escapes_what_failed(
    tiny_recipe: Path, tmp_path: Path
) -> None:
    ablation = planned(tiny_recipe, tmp_path / "a", ALPHA)
    for one in ablation.runs[:3]:
        finish(one, [1, 0, one.seed % 2])
    ablation.runs[3].run.update(state="failed", stage="ppo", message="<script>alert(1)</script>")
    write_report(ablation)

    page = ablation.paths.report_html.read_text()
    assert "&lt;script&gt;" in page and "<script" not in page
    assert "Settings beside alpha=0.8" in page and 'href="alpha=0.8/seed-3/report.html"' in page
    assert 'aria-label="Correctness: alpha=0.8 from 0.5 to 0.5; alpha=1.0' in page


def test_one_seed_has_a_difference_without_an_interval(tiny_recipe: Path, tmp_path: Path) -> None:
    ablation = planned(tiny_recipe, tmp_path / "a", ALPHA, seeds=1)
    for one in ablation.runs:
        finish(one, [1, 0] if one.arm == "alpha=1.0" else [0, 0])
    report = summarise_ablation(ablation)
    assert report.table.rows[1][4:8] == ["+50.0", "-", "1", "-"]
    assert "one seed has no interval" in report.notes[0]


def test_a_cost_without_counts_is_unknown_and_one_of_openrlhf_comes_from_lengths(
    tiny_recipe: Path, tmp_path: Path
) -> None:
    one, other = planned(tiny_recipe, tmp_path / "a", ALPHA, seeds=1).runs
    append_rows(
        one.run.paths.stage("ppo").metrics,
        [{"step": 0, "response/tokens": 10.0, "time/tokens_per_s": 80.0}],
    )
    cost = cost_of([one.run])
    assert (cost.tokens, cost.seconds) == (160.0, 2.0)
    append_rows(other.run.paths.stage("ppo").metrics, [{"step": 0, "loss": 1.0}])
    assert cost_of([other.run]).tokens is None
