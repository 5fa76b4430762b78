"""A model's files for a server whose weights are replaced while it runs."""

import json
from pathlib import Path

from safetensors.torch import save_file
from transformers import PreTrainedModel
from transformers.utils import CONFIG_NAME

_NO_SHARDS = "1000GB"
"""Shards have an index, and vLLM reads no file that is not in it."""


def save_untied(model: PreTrainedModel, folder: Path) -> None:
    """Write a model whose output layer has weights of its own, even if it shares the embedding's.

    vLLM 0.29 takes new weights for the embedding, and on a CPU goes on with the old ones in an
    output layer that shares them.
    """
    model.save_pretrained(folder, max_shard_size=_NO_SHARDS)
    head = model.get_output_embeddings()
    if head.weight is not model.get_input_embeddings().weight:
        return

    name = next(name for name, module in model.named_modules() if module is head)
    save_file({f"{name}.weight": head.weight.detach().contiguous()}, folder / "head.safetensors")

    config = folder / CONFIG_NAME
    described = {**json.loads(config.read_bytes()), "tie_word_embeddings": False}
    config.write_text(json.dumps(described), encoding="utf-8")
