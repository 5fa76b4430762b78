"""A model that knows a few answers and gives them to every prompt, in a folder of transformers."""

from collections.abc import Sequence
from itertools import chain, pairwise
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from tests.byte_model import byte_tokenizer, chatml

_SURE = 10.0
"""What a byte that may follow gets, before the norm makes it larger."""


def wavering_model(folder: Path, answers: Sequence[str]) -> None:
    """Write a model that draws one of some answers, in which no byte occurs twice.

    It looks only at the last byte: a row of the embedding is one-hot, the layer adds nothing, and
    the head holds which bytes follow which. Prompts end with a line break.
    """
    tokenizer = byte_tokenizer(chatml())
    size = 2 * -(-len(tokenizer) // 2)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=size,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=1,
        max_position_embeddings=8192,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = LlamaForCausalLM(config)
    chains = [tokenizer.encode(f"\n{answer}<|im_end|>") for answer in answers]
    with torch.no_grad():
        for weights in model.model.layers.parameters():
            weights.zero_()
        model.model.embed_tokens.weight.copy_(torch.eye(len(tokenizer), size))
        model.lm_head.weight.zero_()
        for before, after in chain.from_iterable(map(pairwise, chains)):
            model.lm_head.weight[after, before] = _SURE
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
