"""`rlsp smoke`: any recipe with a tiny model, and faults that it has to find."""

import json
from pathlib import Path
from typing import Any

import pytest

from rlsp_cli.backends.local.prompt_facts import prompt_facts
from rlsp_cli.backends.local.tiny_model import write_tiny_model
from rlsp_cli.cli.smoke import smoke as smoke_command
from rlsp_cli.engine.checkpoint import save_model
from rlsp_cli.engine.model import load_tokenizer, new_model
from rlsp_cli.errors import UsageError
from rlsp_cli.preflight import (
    Check,
    look_at_prompts,
    made_checks,
    prompts,
    read_recipe,
    replies,
    solutions,
)
from rlsp_cli.recipe.load import resolve_recipe
from rlsp_cli.recipe.model import FromScratch
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.recipe.shipped import shipped_recipes
from rlsp_cli.rewards.registry import resolve_options
from rlsp_cli.smoke import batches, run
from rlsp_cli.smoke.batches import look_at_batches
from rlsp_cli.smoke.shrink import shrink
from tests.conftest import ROOT, TINY, rlsp

DRAWN = """\
import random
from rlsp_cli.rewards import Sample, exploration_reward

@exploration_reward
def drawn(sample: Sample) -> float:
    return random.random()
"""
TEMPLATE = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}[EOS]{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def smoke(*arguments: object, cwd: Path, code: int = 0) -> dict[str, dict[str, Any]]:
    """The checks of `rlsp smoke --json`, by name."""
    done = rlsp("smoke", *arguments, "--json", cwd=cwd, check=False)
    assert done.returncode == code, done.stderr
    data = json.loads(done.stdout)["data"]
    assert data["ok"] is (code == 0)
    return {one["check"]: one for one in data["checks"]}


def recipe_of(folder: Path, *overrides: str) -> Recipe:
    (folder / "tiny.yaml").write_text(TINY)
    return read_recipe(str(folder / "tiny.yaml"), overrides)[0]


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A qwen2 of three layers with a tokenizer of words; its name says that it reads turns."""
    folder = tmp_path_factory.mktemp("models") / "toy-instruct"
    spec = FromScratch(model_type="qwen2", hidden_size=128, num_layers=3, num_heads=8)
    save_model(folder, *new_model(spec, ["Which two of 1, 2 add up to 3?"], seed=0))
    return folder


@pytest.mark.integration
def test_a_sound_recipe_passes_and_leaves_its_folder_where_it_was_asked_to(
    tiny_recipe: Path, tmp_path: Path
) -> None:
    found = smoke(tiny_recipe, "ppo.max_new_tokens=64", "--out", "there", cwd=tmp_path)
    assert {one["state"] for one in found.values()} == {"passed", "untested"}
    passed = {"gold is right", "replies vary", "a resumed run is the same"}
    assert passed <= {name for name, one in found.items() if one["state"] == "passed"}
    assert found["evaluation reads the model"]["found"] == "sft: 4 problems; ppo: 4 problems"
    assert (tmp_path / "there" / "run" / "report.json").exists()

    done = rlsp("smoke", tiny_recipe, "--out", "there", cwd=tmp_path, check=False)
    assert done.returncode == 2 and "this folder is used" in done.stderr


@pytest.mark.integration
def test_a_reward_that_draws_numbers_is_found_by_the_resumed_run(
    tiny_recipe: Path, tmp_path: Path
) -> None:
    (tmp_path / "p.py").write_text(DRAWN)
    found = smoke(
        tiny_recipe, "reward.exploration={use: ./p.py:drawn}", "sft=null", cwd=tmp_path, code=6
    )
    resumed = found["a resumed run is the same"]
    assert resumed["state"] == "failed" and "exploration/drawn/mean" in resumed["found"]


@pytest.mark.nightly
@pytest.mark.parametrize("name", list(shipped_recipes()))
def test_every_shipped_recipe_can_be_tried(name: str, tmp_path: Path) -> None:
    traces = tmp_path / "traces.jsonl"
    rows = [{"problem": f"{n} + {n}?", "solution": f"\\boxed{{{2 * n}}}"} for n in range(40)]
    traces.write_text("".join(json.dumps(row) + "\n" for row in rows))
    needs_file = name in ("one_gpu/qwen25_1p5b_sft", "paper/llama31_8b_sft")
    given = [f"data.traces={{source: {traces}}}", "sft.val_rows=2"] if needs_file else []
    smoke(name, *given, cwd=tmp_path)


@pytest.mark.parametrize("name", list(shipped_recipes()))
def test_every_shipped_recipe_becomes_a_small_one_of_the_same_stages(
    name: str, tmp_path: Path
) -> None:
    recipe, _ = read_recipe(name, [])
    small = shrink(recipe, tmp_path).recipe
    assert (small.sft is None, small.ppo is None) == (recipe.sft is None, recipe.ppo is None)
    assert small.reward.alpha == recipe.reward.alpha
    assert small.continuation == recipe.continuation
    assert small.cluster.gpus_per_node == 0


def test_what_asks_a_model_is_left_out_and_named(tmp_path: Path) -> None:
    recipe, _ = read_recipe("paper/llama31_8b_rlsp", [])
    small, stand_ins = shrink(recipe, tmp_path)
    assert small.reward.exploration == ()
    keys = {one.key for one in stand_ins}
    assert {"reward.exploration.0", "ppo.backend", "data.prompts", "model.path"} <= keys


def test_judges_selectors_and_rounds_are_left_out_of_a_valid_recipe(tmp_path: Path) -> None:
    scratch = {"model": {"from_scratch": {}}, "data": {"prompts": {"source": "task:pair_sum"}}}
    judged = {
        **scratch,
        "name": "judged",
        "models": {"judge": {"url": "http://localhost:1/v1"}},
        "reward": {"correctness": {"use": "tool_judge", "model": "judge"}},
        "continuation": {"use": "critique_refine", "model": "judge"},
        "ppo": {"select": {"use": "one_pair"}, "samples_per_prompt": 3, "estimator": "rloo"},
    }
    small, stand_ins = shrink(resolve_recipe(judged, plugins=resolve_options), tmp_path)
    keys = {one.key for one in stand_ins}
    assert keys == {"model", "reward.correctness", "continuation", "ppo.select"}
    assert small.ppo and small.ppo.samples_per_prompt == 2


def test_the_tiny_model_has_the_architecture_and_the_tokenizer_of_the_model(
    toy: Path, tmp_path: Path
) -> None:
    assert write_tiny_model(str(toy), tmp_path / "tiny", seed=0) == "Qwen2ForCausalLM"
    config = json.loads((tmp_path / "tiny" / "config.json").read_text())
    assert (config["hidden_size"], config["num_hidden_layers"]) == (64, 2)
    vocabularies = [load_tokenizer(str(one)).get_vocab() for one in (toy, tmp_path / "tiny")]
    assert vocabularies[0] == vocabularies[1]


def test_an_instruct_model_without_a_chat_template_is_found(toy: Path, tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path, "model.from_scratch=null", f"model.path={toy}")
    template, end = look_at_prompts(recipe, recipe)
    assert template.state == "failed" and "plain text" in template.found
    assert end.found == "replies end with [EOS]"


def test_turns_that_are_written_twice_are_found(toy: Path, tmp_path: Path) -> None:
    (tmp_path / "turns.jinja").write_text(TEMPLATE)
    given = ["model.from_scratch=null", f"model.path={toy}"]
    given.append(f"model.chat_template={tmp_path / 'turns.jinja'}")
    recipe = recipe_of(tmp_path, *given)
    assert [one.state for one in look_at_prompts(recipe, recipe)] == ["passed", "passed"]
    assert prompt_facts(recipe).prompt.endswith("<|assistant|>")

    twice = recipe_of(tmp_path, *given, "data.template='[EOS]{problem}'")
    template, _ = look_at_prompts(twice, twice)
    assert template.state == "failed" and "twice" in (template.cause or "")


def test_a_template_whose_turns_end_with_no_token_is_found(toy: Path, tmp_path: Path) -> None:
    (tmp_path / "turns.jinja").write_text(TEMPLATE.replace("[EOS]", "<|im_end|>"))
    given = ["model.from_scratch=null", f"model.path={toy}"]
    recipe = recipe_of(tmp_path, *given, f"model.chat_template={tmp_path / 'turns.jinja'}")
    _, end = look_at_prompts(recipe, recipe)
    assert end.state == "failed" and "<|im_end|>" in end.found


def test_the_page_names_every_check_with_its_meaning() -> None:
    """A row of the table for each check, in the words that the command prints."""
    page = (ROOT / "docs" / "smoke.md").read_text()
    modules = (made_checks, prompts, replies, solutions, batches, run)
    checks = [one for module in modules for one in vars(module).values() if isinstance(one, Check)]
    missing = [one for one in checks if f"| {one.name} | {one.means} |" not in page]
    assert missing == [] and len(checks) == len(set(checks)) == 22


def test_batches_that_leave_the_policy_untrained_are_found(tmp_path: Path) -> None:
    (sound,) = look_at_batches(recipe_of(tmp_path))
    assert sound.found == "16 prompts x 1 = 16 replies a rollout, 2 optimiser steps of 8"
    for override in ("ppo.critic_warmup_steps=4", "ppo.train_batch=7"):
        (found,) = look_at_batches(recipe_of(tmp_path, override))
        assert found.state == "failed", override


def test_a_recipe_without_stages_is_refused_and_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "none.yaml").write_text("schema_version: 1\nname: none\n")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(UsageError, match="no stage to try"):
        smoke_command(str(tmp_path / "none.yaml"))
    assert [path.name for path in tmp_path.iterdir()] == ["none.yaml"]
