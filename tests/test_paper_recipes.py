"""The recipes of the paper's runs: OpenRLHF reads from their commands what the paper and its released code say."""

import re
import string
import sys
from pathlib import Path
from typing import Any

import pytest
from scipy import stats
from tokenizers import Tokenizer, models, processors
from transformers import PreTrainedTokenizerFast

from rlsp_cli.backends.openrlhf import OpenRlhfBackend
from rlsp_cli.backends.openrlhf.flags import ask_parser, words
from rlsp_cli.backends.openrlhf.placement import roles
from rlsp_cli.engine.prompt import encode_prompt, prompt_text
from rlsp_cli.plan import make_plan
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.recipe.shipped import shipped_recipes
from rlsp_cli.rewards.combine import combine
from rlsp_cli.rewards.registry import get_plugin
from rlsp_cli.rewards.sample import Sample, Score
from rlsp_cli.runs.paths import RunPaths
from tests.conftest import ROOT, load_checked, rlsp

RUNS = (
    "llama31_8b_outcome",
    "llama31_8b_length",
    "llama31_8b_rlsp",
    "qwen25_7b_outcome",
    "qwen25_32b_aime",
)
NODES = {
    1: ("cluster.nodes=1", "ppo.openrlhf.placement.share=all"),
    3: (),
    6: ("cluster.nodes=6",),
}
"""Overrides for each number of nodes; three is what most of the paper's runs had."""
ONE_GPU = [name for name in shipped_recipes() if name.startswith("one_gpu/")]

APPENDIX_B = {
    "actor.adam.lr": 2e-7,
    "critic.adam.lr": 2e-6,
    "actor.adam.betas": [0.9, 0.95],
    "critic.adam.betas": [0.9, 0.95],
    "actor.lr_scheduler": "cosine_with_min_lr",
    "actor.lr_warmup_ratio": 0.03,
    "critic.lr_warmup_ratio": 0.03,
    "actor.min_lr_ratio": 0.1,
    "algo.advantage.estimator": "gae",
    "algo.advantage.gamma": 1.0,
    "algo.advantage.lambd": 0.95,
    "algo.kl.init_coef": 0.05,
    "actor.eps_clip": 0.2,
    "critic.value_clip": 0.2,
    "reward.clip_range": [-10.0, 10.0],
    "rollout.batch_size": 512,
    "train.batch_size": 128,
    "train.max_epochs": 1,
    "rollout.max_new_tokens": 4096,
    "data.max_len": 2048 + 4096,
    "ds.zero_stage": 3,
    "ds.packing_samples": True,
    "ds.attn_implementation": "flash_attention_2",
    "ds.param_dtype": "bf16",
    "actor.gradient_checkpointing_enable": True,
}
"""What the paper gives (arXiv 2502.06773, Appendices B.1 and B.4), by OpenRLHF's names of today."""
RELEASED_CODE = {
    "rollout.temperature": 0.7,
    "rollout.top_p": 1.0,
    "rollout.n_samples_per_prompt": 1,
    "critic.freezing_steps": 3,  # 4 rollouts: OpenRLHF counts from 0, and freezes one more than it is told
    "algo.kl.estimator": "k1",
    "algo.kl.target": None,
    "actor.max_norm": 1.0,
    "actor.adam.weight_decay": 0.0,
    "reward.normalize_enable": False,
    "ds.adam_offload": True,
    "train.seed": 42,
}
"""What only the released code gives."""


def loaded(name: str, *overrides: str) -> Recipe:
    return load_checked(shipped_recipes()[name], *overrides)


def understood(source: Path, recipe: Recipe) -> dict[str, Any]:
    """What OpenRLHF's own parser, and its checks behind it, make of the recipe's command."""
    argv = words(OpenRlhfBackend().rendered(recipe, RunPaths(Path("run"))))
    answer = ask_parser([sys.executable], str(source), argv)
    assert "error" not in answer, answer["error"]
    values: dict[str, Any] = answer["values"]
    return values


@pytest.mark.integration
@pytest.mark.parametrize("nodes", NODES)
@pytest.mark.parametrize("name", RUNS)
def test_openrlhf_reads_the_papers_settings(openrlhf_source: Path, name: str, nodes: int) -> None:
    found = understood(openrlhf_source, loaded(f"paper/{name}", *NODES[nodes]))
    wanted = APPENDIX_B | RELEASED_CODE
    assert {key: found[key] for key in wanted} == wanted
    engine_gpus = 4 if name == "qwen25_32b_aime" else 1
    third = nodes * 8 if nodes == 1 else nodes * 8 // 3
    for model in ("actor", "ref", "critic"):
        assert found[f"{model}.num_nodes"] * found[f"{model}.num_gpus_per_node"] == third
    assert (found["vllm.num_engines"], found["vllm.tensor_parallel_size"]) == (
        third // engine_gpus,
        engine_gpus,
    )
    assert (found["train.colocate_all"], found["train.colocate_actor_ref"]) == (
        nodes == 1,
        nodes > 1,
    )


@pytest.mark.integration
def test_the_largest_model_has_settings_of_its_own_for_one_node(openrlhf_source: Path) -> None:
    found = understood(openrlhf_source, loaded("paper/qwen25_32b_aime_1node"))
    wanted = APPENDIX_B | RELEASED_CODE
    assert {key: found[key] for key in wanted} == wanted
    assert (found["vllm.num_engines"], found["train.colocate_all"], found["ref.offload"]) == (
        2,
        True,
        True,
    )


@pytest.mark.integration
@pytest.mark.parametrize("name", ONE_GPU)
def test_the_recipes_for_one_gpu_are_accepted(openrlhf_source: Path, name: str) -> None:
    recipe = loaded(name)
    if recipe.ppo is not None:
        found = understood(openrlhf_source, recipe)
        assert (
            found["vllm.num_engines"],
            found["train.colocate_all"],
            found["vllm.enable_sleep"],
        ) == (1, True, True)


@pytest.mark.parametrize(
    ("name", "gpu", "overrides"),
    [
        *(
            (f"paper/{name}", "h100", overrides)
            for name in RUNS
            for nodes, overrides in NODES.items()
            if name != "llama31_8b_rlsp"
            and (name, nodes) != ("qwen25_32b_aime", 1)  # no model yet; the next one
        ),
        ("paper/qwen25_32b_aime_1node", "h100", ()),
        ("one_gpu/qwen25_1p5b_ppo", "l4", ()),
        ("one_gpu/llama32_1b_group", "l4", ()),
    ],
)
def test_the_estimate_finds_room(name: str, gpu: str, overrides: tuple[str, ...]) -> None:
    (estimate,) = make_plan(loaded(name, *overrides), gpu).estimates
    assert not estimate.warnings


@pytest.mark.parametrize(
    "name", ["paper/qwen25_32b_aime_1node", "one_gpu/qwen25_1p5b_ppo", "one_gpu/llama32_1b_group"]
)
def test_a_recipe_for_one_machine_says_how_much_cpu_memory_it_needs(name: str) -> None:
    recipe = loaded(name)
    stated = re.search(r"(\d+) ([GT])B of CPU memory", recipe.description)
    assert stated
    (estimate,) = make_plan(recipe).estimates
    assert recipe.ppo
    found = roles(recipe.ppo, recipe.cluster)
    processes = (
        found.actor
        + found.critic
        + found.reference
        + found.engines * found.tensor_parallel
        + found.engines
    )
    needed = sum(part.high for part in estimate.host) + processes * 4 * 2**30
    assert needed < int(stated[1]) * {"G": 2**30, "T": 2**40}[stated[2]] < 1.5 * needed


@pytest.mark.parametrize(
    ("name", "rollouts", "end_of_axis"),
    [("llama31_8b_length", 370, 1480), ("qwen25_32b_aime", 742, 2969)],
)
def test_a_rollout_is_four_steps_of_the_papers_axis(
    name: str, rollouts: int, end_of_axis: int
) -> None:
    counts = make_plan(loaded(f"paper/{name}")).counts[0]
    assert (counts.rollouts, counts.critic_steps) == (rollouts, 4 * rollouts)
    assert abs(4 * rollouts - end_of_axis) < 4


@pytest.mark.parametrize(
    ("combine_as", "tokens", "correct", "answer", "wanted"),
    [
        ("released_code", 1000, True, "4", 0.0),
        ("released_code", 1000, False, "5", -1.0),
        ("released_code", 1000, False, None, -1.5),
        ("released_code", 250, True, "4", -3.0),
        ("released_code", 50, True, "4", -10.0),  # cut
        ("rlsp", 1000, True, "4", 0.6),
        ("rlsp", 1000, False, "5", -0.2),
        ("rlsp", 1000, False, None, -0.2),
        ("rlsp", 250, True, "4", 0.0),
    ],
)
def test_the_length_reward_is_equation_1_or_that_of_the_released_code(
    combine_as: str, tokens: int, correct: bool, answer: str | None, wanted: float
) -> None:
    reward = loaded("paper/llama31_8b_length", f"reward.combine={combine_as}").reward
    (use,) = reward.exploration
    explored = get_plugin("exploration_reward", use.use).function(
        Sample("", "", num_tokens=tokens), **use.options
    )
    assert isinstance(reward.alpha, float)
    verdict = Score("math_verify", "value", float(correct), answer)
    scored = combine(verdict, [Score("length", "value", explored)], reward, reward.alpha)
    assert scored.reward == pytest.approx(wanted)


def test_sft_and_ppo_ask_alike() -> None:
    sft, ppo = loaded("paper/llama31_8b_sft"), loaded("paper/llama31_8b_rlsp")
    assert (sft.data.template, sft.model.chat_template) == (
        ppo.data.template,
        ppo.model.chat_template,
    )
    assert sft.data.system is None and ppo.data.system is None


def test_the_intervals_of_the_page_are_those_of_its_counts() -> None:
    page = (ROOT / "docs" / "paper.md").read_text()
    rows = re.findall(r"\| ([\d.]+) \| (\d+) / (\d+) \| ([\d.]+) to ([\d.]+) \|", page)
    assert len(rows) == 9
    for share, right, of, low, high in rows:
        interval = stats.binomtest(int(right), int(of)).proportion_ci(method="wilson")
        found = [100 * int(right) / int(of), 100 * interval.low, 100 * interval.high]
        assert found == pytest.approx([float(share), float(low), float(high)], abs=0.051)


def tokenizer(markers: list[str], begins: str | None) -> PreTrainedTokenizerFast:
    """Letters and markers as tokens; `begins` is what the tokenizer puts before a text by itself, as Llama's does."""
    letters = {letter: number for number, letter in enumerate(string.printable)}
    inner = Tokenizer(models.BPE(letters, []))
    inner.add_special_tokens(markers)
    if begins is not None:
        start = [(begins, inner.token_to_id(begins))]
        inner.post_processor = processors.TemplateProcessing(
            single=f"{begins} $A", special_tokens=start
        )
    return PreTrainedTokenizerFast(tokenizer_object=inner, clean_up_tokenization_spaces=False)


@pytest.mark.parametrize(
    ("name", "begins", "prompt"),
    [
        ("llama31_8b_outcome", "<|begin_of_text|>", "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n"
         "Problem: 1+1?<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"),
        ("qwen25_7b_outcome", None, "<|im_start|>user\nProblem:1+1?<|im_end|>\n<|im_start|>assistant\n"),
        ("qwen25_32b_aime", None, "<|im_start|>user\nProblem:1+1?<|im_end|>\n<|im_start|>assistant\n"),
    ],
)  # fmt: skip
def test_the_prompt_is_that_of_the_released_code(
    name: str, begins: str | None, prompt: str
) -> None:
    """With Llama's begin token, which the code's training lacks and its evaluation has; markers are tokens."""
    markers = re.findall(r"<\|\w+\|>", prompt)
    reader = tokenizer(sorted(set(markers)), begins)
    ids = encode_prompt(prompt_text("1+1?", loaded(f"paper/{name}").data, reader), reader)
    assert "".join(reader.convert_ids_to_tokens(ids)) == prompt
    assert sum(i in reader.all_special_ids or i >= len(string.printable) for i in ids) == len(
        markers
    )


@pytest.mark.integration
def test_a_copy_of_a_recipe_is_the_same_run(tmp_path: Path) -> None:
    rlsp("recipes", "copy", "paper/qwen25_32b_aime_1node", "mine.yaml", cwd=tmp_path)
    copy = load_checked(tmp_path / "mine.yaml")
    assert copy.digest == loaded("paper/qwen25_32b_aime_1node").digest
