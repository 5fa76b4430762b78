"""Decoding by a cache is decoding without one, for every kind of cache that transformers has; or it is refused."""

import math
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from rlsp_cli.engine.batch import micro_batches
from rlsp_cli.engine.decode import Generated, Sampling, generate
from rlsp_cli.engine.logprobs import last_states, token_logp
from rlsp_cli.engine.rollout import as_tensors
from rlsp_cli.engine.trial import Handling, handling_of, refuse_leaks
from rlsp_cli.errors import RecipeError
from tests.conftest import TINY, rlsp

# One model of every kind is made and decoded: a minute in all.
pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.integration]

PAD, NEW = 0, 12
GREEDY = Sampling(NEW, temperature=0.0)
WIDTHS = {
    "vocab_size": 20,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 128,
    "initializer_range": 0.4,
    "eos_token_id": 1,
    "pad_token_id": PAD,
    "bos_token_id": None,
}
MAMBA = {
    "mamba_d_state": 8,
    "mamba_n_heads": 8,
    "mamba_d_head": 8,
    "mamba_n_groups": 1,
    "mamba_chunk_size": 8,
}
DELTA = {
    f"linear_{name}": size for name, size in {"num_key_heads": 2, "num_value_heads": 4}.items()
}
DELTA |= {"linear_key_head_dim": 8, "linear_value_head_dim": 8}
MIXED: dict[str, Any] = {"layer_types": ["linear_attention", "full_attention"] * 2, **DELTA}
WINDOW: dict[str, Any] = {
    "sliding_window": 6,
    "layer_types": ["sliding_attention", "full_attention"] * 2,
}
EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2}
LATENT = {"num_key_value_heads": 4, "q_lora_rank": 16, "kv_lora_rank": 16, "qk_rope_head_dim": 8}
LATENT |= {"qk_nope_head_dim": 8, "v_head_dim": 8, "n_routed_experts": 4, "num_experts_per_tok": 2}
LATENT |= {"n_group": 1, "topk_group": 1, "first_k_dense_replace": 1, "moe_intermediate_size": 16}
SMALL_EXPERTS = {
    "num_experts": 4,
    "moe_intermediate_size": 16,
    "shared_expert_intermediate_size": 16,
}
JAMBA = {
    "num_experts": 4,
    "attn_layer_period": 2,
    "attn_layer_offset": 1,
    "mamba_d_state": 8,
    "mamba_dt_rank": 4,
}
GRIFFIN: dict[str, Any] = {"num_hidden_layers": 3, "lru_width": 32, "attention_window_size": 6}
GRIFFIN |= {"block_types": ["recurrent", "recurrent", "attention"]}
STATES = {"state_size": 8, "num_heads": 8, "n_groups": 2, "expand": 2, "chunk_size": 8}

KINDS: dict[str, dict[str, Any]] = {
    "llama": {},
    "gpt2": {},
    "bloom": {},
    "mistral": {"sliding_window": 6},
    "gemma3_text": WINDOW,
    "gpt_oss": {**WINDOW, **EXPERTS},
    "mixtral": EXPERTS,
    "deepseek_v3": LATENT,
    "qwen3_next": {**MIXED, **SMALL_EXPERTS, "num_experts_per_tok": 2},
    "qwen3_5_text": MIXED,
    "lfm2": {"layer_types": ["conv", "full_attention"] * 2},
    "jamba": JAMBA,
    "bamba": {"attn_layer_indices": [1, 3], **MAMBA},
    "granitemoehybrid": {
        "layer_types": ["mamba", "attention"] * 2,
        "shared_intermediate_size": 64,
        **MAMBA,
        **EXPERTS,
    },
    "falcon_h1": {**MAMBA, "mamba_d_ssm": 64},
    "recurrent_gemma": GRIFFIN,
    "mamba": {"state_size": 8, "time_step_rank": 4},
    "mamba2": STATES,
}
"""Attention over everything, over a window, of latent vectors, by experts; linear attention, convolutions, states."""

REFUSED: dict[str, dict[str, Any]] = {
    "rwkv": {
        "attention_hidden_size": 32
    },  # transformers mixes up the rows of a batch after the first token
    "minimax": {
        "layer_types": MIXED["layer_types"],
        "block_size": 8,
        **EXPERTS,
    },  # a cache of its own
    "openai-gpt": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128},  # none at all
}


@cache
def tiny(model_type: str) -> PreTrainedModel:
    """A model whose next word depends on what it has read: its weights are random and large."""
    defaults = AutoConfig.for_model(model_type)
    widths = {key: value for key, value in WIDTHS.items() if hasattr(defaults, key)}
    torch.manual_seed(0)
    config = type(defaults)(**{**widths, **KINDS.get(model_type, REFUSED.get(model_type, {}))})
    return AutoModelForCausalLM.from_config(config).eval()


def some_prompts(*lengths: int) -> list[list[int]]:
    random = torch.Generator().manual_seed(3)
    return [torch.randint(2, 20, (length,), generator=random).tolist() for length in lengths]


@torch.no_grad()
def without_cache(model: PreTrainedModel, prompt: list[int]) -> list[int]:
    """The greedy response, by a pass over everything for each of its tokens."""
    tokens = list(prompt)
    for _ in range(NEW):
        tokens.append(int(model(torch.tensor([tokens]), use_cache=False).logits[0, -1].argmax()))
    return tokens[len(prompt) :]


def ended(response: list[int], eos: set[int]) -> list[int]:
    end = next((n for n, token in enumerate(response, start=1) if token in eos), len(response))
    return response[:end]


def decode(
    model: PreTrainedModel,
    prompts: list[list[int]],
    eos: set[int],
    sampling: Sampling = GREEDY,
    at_once: int = 64,
) -> list[Generated]:
    seeds = list(range(len(prompts)))
    responses = dict(
        generate(model, prompts, sampling, seeds=seeds, eos_ids=eos, pad_id=PAD, at_once=at_once)
    )
    return [responses[row] for row in range(len(prompts))]


@pytest.mark.parametrize(("lengths", "at_once"), [((9, 3, 14, 3, 1, 9), 3), ((7, 7, 7, 7), 64)])
@pytest.mark.parametrize("model_type", KINDS)
def test_greedy_responses_are_those_of_passes_without_a_cache(
    model_type: str, lengths: tuple[int, ...], at_once: int
) -> None:
    model, prompts = tiny(model_type), some_prompts(*lengths)
    expected = [without_cache(model, prompt) for prompt in prompts]
    assert len(set(map(tuple, expected))) > 1
    got = decode(model, prompts, set(), at_once=at_once)
    assert [response.tokens for response in got] == expected
    words = sorted(expected[0][2:5])  # so that some sequences end early, at different times
    eos = {words[1], expected[1][6]}
    got = decode(model, prompts, eos, at_once=at_once)
    assert [response.tokens for response in got] == [ended(response, eos) for response in expected]
    assert len({len(response.tokens) for response in got}) > 1


@pytest.mark.parametrize("model_type", KINDS)
def test_training_sees_the_log_probabilities_that_tokens_were_sampled_with(model_type: str) -> None:
    model, prompts = tiny(model_type), some_prompts(9, 3, 14, 3, 1, 9)
    sampling = Sampling(NEW, temperature=1.0, record=1.0)
    generated = decode(model, prompts, {2, 3, 4}, sampling, at_once=4)
    tokens, mask, lengths = as_tensors(prompts, generated, PAD, model.device)
    assert len(set(lengths.tolist())) > 2
    for rows in micro_batches(lengths, torch.arange(len(prompts)), 4):
        part = tokens[rows, : int(lengths[rows].max())]
        with torch.no_grad():
            part_mask = mask[rows, : part.shape[1] - 1]
            sums = token_logp(model, last_states(model, part), part, part_mask)[..., 0].sum(1)
        expected = torch.tensor([math.fsum(generated[row].logp) for row in rows.tolist()])
        torch.testing.assert_close(sums, expected, atol=2e-3, rtol=1e-3)


@pytest.mark.parametrize("model_type", REFUSED)
def test_a_model_whose_cache_cannot_be_relied_on_is_refused_in_one_line(model_type: str) -> None:
    model = tiny(model_type)
    for _ in range(2):
        with pytest.raises(RecipeError, match=f"cannot decode model type {model_type}: ") as error:
            decode(model, some_prompts(3, 5), {1})
        assert "\n" not in str(error.value)


def test_a_cache_that_gives_no_numbers_is_refused() -> None:
    model = AutoModelForCausalLM.from_config(tiny("llama").config)

    def lose(_: Any, given: tuple[Any, ...], output: Any) -> Any:
        output.logits = output.logits * (
            math.nan if given[0].shape[1] == 1 else 1.0
        )  # as it goes on from the cache
        return output

    model.register_forward_hook(lose)
    with pytest.raises(
        RecipeError, match="cannot decode model type llama: its log-probabilities are not numbers"
    ):
        handling_of(model)


def test_training_refuses_a_model_that_sees_what_comes_after() -> None:
    for model_type in KINDS:
        refuse_leaks(tiny(model_type))
    bert = AutoModelForCausalLM.from_config(
        AutoConfig.for_model("bert", **{**WIDTHS, "num_hidden_layers": 2}, is_decoder=False)
    )
    with pytest.raises(RecipeError, match=r"cannot train model type bert: .* padded on the right"):
        refuse_leaks(bert)


def test_a_run_that_could_not_sample_ends_before_its_sft_begins(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(TINY)
    model = ("model.from_scratch.model_type=rwkv", "model.from_scratch.num_layers=2")
    done = rlsp(
        "run", tmp_path / "r.yaml", *model, "--out", tmp_path / "run", cwd=tmp_path, check=False
    )
    assert done.returncode == RecipeError.exit_code
    assert "sft: the embedded engine cannot decode model type rwkv" in done.stderr
    assert not (tmp_path / "run" / "sft" / "metrics.jsonl").exists()


def test_a_model_is_handled_as_its_cache_allows() -> None:
    for model_type in ("llama", "gpt2", "gemma3_text", "deepseek_v3"):
        assert handling_of(tiny(model_type)).grows
    assert handling_of(tiny("falcon_h1")) == Handling(False, mixes_lengths=True, drops_rows=True)
    assert not handling_of(
        tiny("mamba")
    ).mixes_lengths  # it applies the mask of the prompt to each later token
    assert not handling_of(
        tiny("recurrent_gemma")
    ).drops_rows  # its states are in its layers, not in the cache


def test_the_trial_changes_nothing_that_others_rely_on() -> None:
    model = AutoModelForCausalLM.from_config(tiny("llama").config).train()
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    with torch.autocast("cpu", torch.bfloat16):
        handling_of(model)
    assert model.training and torch.equal(torch.rand(1), expected)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_autocast_may_keep_its_copies_of_the_weights_while_decoding() -> None:
    """It keeps none in inference mode, and casts every weight again for every token."""
    model, seen = tiny("llama"), []
    hook = model.register_forward_pre_hook(
        lambda *_: seen.append(torch.is_inference_mode_enabled())
    )
    decode(model, some_prompts(3), set())
    hook.remove()
    assert seen and not any(seen)
