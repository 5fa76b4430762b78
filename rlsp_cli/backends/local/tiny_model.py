"""A tiny model with random weights, of the same family as a given one and with its tokenizer.

For `rlsp smoke`: what is tried with it is the recipe, and not what the model knows.
"""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig, PreTrainedModel

from rlsp_cli.engine.model import load_tokenizer
from rlsp_cli.engine.source import source_of
from rlsp_cli.errors import NotReadyError

_SIZES = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "head_dim": 16,
    "num_experts": 4,
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 32,
    "shared_expert_intermediate_size": 32,
    "max_window_layers": 2,
}
"""Most of each dimension; the vocabulary stays, and so does the number of positions."""
_GROUPED_HEADS = 2
"""Heads of keys and values, where a model shares them between heads."""


def write_tiny_model(path: str, folder: Path, seed: int) -> str:
    """Write a tiny model beside the tokenizer of the model at `path`; returns its class.

    Only files on this machine are read. NotReadyError when configuration or tokenizer is not here,
    or when the architecture cannot be made so small.
    """
    # Before the model: a model without its tokenizer would be of no use.
    tokenizer = load_tokenizer(path, local_only=True)
    model = _tiny(path, seed)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return type(model).__name__


def _tiny(path: str, seed: int) -> PreTrainedModel:
    name, options = source_of(path)
    try:
        config = AutoConfig.from_pretrained(name, **options, local_files_only=True)
        small = _shrunk(config.get_text_config())
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = AutoModelForCausalLM.from_config(small, dtype=torch.float32)
        with torch.no_grad():
            model(torch.zeros(1, 2, dtype=torch.long))
    except Exception as error:  # each architecture refuses dimensions in a type of its own
        reason = str(error).strip().partition("\n")[0]
        raise NotReadyError(f"model {path!r} cannot be made tiny: {reason}") from error
    return model  # type: ignore[no-any-return]


def _shrunk(config: PretrainedConfig) -> PretrainedConfig:
    heads, shared = config.num_attention_heads, getattr(config, "num_key_value_heads", None)
    for key, most in _SIZES.items():
        size: Any = getattr(config, key, None)
        if isinstance(size, int) and size > most:
            setattr(config, key, most)

    if isinstance(shared, int):
        is_grouped = shared < heads
        config.num_key_value_heads = _GROUPED_HEADS if is_grouped else config.num_attention_heads
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[: config.num_hidden_layers]
    return config
