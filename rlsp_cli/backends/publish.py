"""A model that a backend has saved: checked, and then put where rlsp looks for it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rlsp_cli.backends.tensors import tensor_shapes
from rlsp_cli.errors import JobError

_MODEL = ("config.json", "generation_config.json", "*.safetensors", "*.safetensors.index.json")


def publish(saved: Path, write_tokenizer: Callable[[Path], Any], final: Path) -> None:
    """Copy a model to `final`, with its tokenizer, once checked; JobError when it is not whole."""
    # Beside `final`, so that a rename puts it there at once: a folder of that name is always whole.
    draft = final.with_name(f"draft-{final.name}")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)

    write_tokenizer(draft)
    for pattern in _MODEL:
        for file in saved.glob(pattern):
            # Without its mode: safetensors writes for its owner alone.
            shutil.copyfile(file, draft / file.name)
    if not _classifies(draft):
        name_end(draft)
    check_model(draft)

    shutil.rmtree(final, ignore_errors=True)
    draft.rename(final)


def name_end(folder: Path) -> None:
    """Add the tokenizer's end token to those of the generation settings, by which servers stop."""
    from transformers import AutoConfig, AutoTokenizer, GenerationConfig

    if (folder / "generation_config.json").exists():
        settings = GenerationConfig.from_pretrained(folder)
    else:
        settings = GenerationConfig.from_model_config(AutoConfig.from_pretrained(folder))

    # A base model's settings name the end of a text, its tokenizer perhaps that of a turn.
    stated, end = settings.eos_token_id, AutoTokenizer.from_pretrained(folder).eos_token_id
    known = [stated] if isinstance(stated, int) else list(stated or [])
    if end not in known:
        settings.eos_token_id = [*known, end]
        settings.save_pretrained(folder)


def check_model(folder: Path) -> None:
    """JobError when files are not whole, or tensors are not those of the architecture."""
    import torch
    from transformers import (
        AutoConfig,
        AutoModelForCausalLM,
        AutoModelForTokenClassification,
    )

    # On the device "meta" a model has names and shapes, and takes no memory.
    shapes = tensor_shapes(folder)
    auto = AutoModelForTokenClassification if _classifies(folder) else AutoModelForCausalLM
    with torch.device("meta"):
        model = auto.from_config(AutoConfig.from_pretrained(folder))
    wanted = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}

    # An output layer that is the embedding is saved once.
    tied = set(getattr(model, "all_tied_weights_keys", None) or [])
    missing = sorted(wanted.keys() - shapes.keys() - tied)
    if missing:
        raise JobError(f"{folder}: {len(missing)} tensors are missing, such as {missing[0]}")

    for name in sorted(wanted.keys() & shapes.keys()):
        if wanted[name] != shapes[name]:
            problem = f"tensor {name} has shape {shapes[name]}, its config says {wanted[name]}"
            raise JobError(f"{folder}: {problem}")


def _classifies(folder: Path) -> bool:
    """Whether a saved model classifies tokens, as a process reward model does."""
    config = json.loads((folder / "config.json").read_bytes())
    return any(
        name.endswith("ForTokenClassification") for name in config.get("architectures") or []
    )
