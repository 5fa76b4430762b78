"""Settings that Axolotl accepts together and that go wrong later, or that it refuses after its slow start."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rlsp_cli.backends.axolotl.config import attention, trained_in_float32
from rlsp_cli.backends.axolotl.keys import Keys
from rlsp_cli.recipe.issue import Issue
from rlsp_cli.recipe.schema import Recipe, Sft

_FULL = "FULL_STATE_DICT"
_GATHER = "stage3_gather_16bit_weights_on_model_save"
_ISOLATES = "sdpa_varlen"
"""The key that came with the isolation of packed rows under sdpa and eager attention (0.18)."""


def conflicts(recipe: Recipe, sft: Sft, keys: Keys) -> Iterator[Issue]:
    """What is wrong, for a version of Axolotl that has these keys."""
    if not recipe.cluster.gpus_per_node:
        yield from _on_cpu(recipe, sft)
    if sft.axolotl.packing and attention(recipe) in ("sdpa", "eager") and _ISOLATES not in keys:
        hint = "set model.attention: flash_attention_2, or install a tested version"
        message = f"with {attention(recipe)} attention, packed examples would see each other"
        yield Issue("sft.axolotl.packing", message, hint)
    yield from _optimiser(sft)
    yield from _sharding(sft)
    yield from _kernels(recipe, sft)


def _on_cpu(recipe: Recipe, sft: Sft) -> Iterator[Issue]:
    needs_gpu = {
        "sft.axolotl.sharding": sft.axolotl.sharding != "none",
        "sft.axolotl.kernels": bool(sft.axolotl.kernels),
        "sft.axolotl.lora.bits": sft.axolotl.lora is not None and sft.axolotl.lora.bits is not None,
        "sft.axolotl.optimizer": sft.axolotl.optimizer.endswith("8bit"),
        "model.attention": attention(recipe).startswith("fl"),  # flash and flex
    }
    for path, asked in needs_gpu.items():
        if asked:
            yield Issue(
                path,
                f"{path} needs GPUs, and cluster.gpus_per_node is 0",
                "set it, or remove this key",
            )
    if recipe.model.precision == "bfloat16":
        yield Issue(
            "model.precision",
            "Axolotl computes in bfloat16 on GPUs only",
            "set it to auto or float32",
        )


def _optimiser(sft: Sft) -> Iterator[Issue]:
    path = (
        "sft.axolotl.extra.optimizer"
        if "optimizer" in sft.axolotl.extra
        else "sft.axolotl.optimizer"
    )
    name = str(sft.axolotl.extra.get("optimizer", sft.axolotl.optimizer))
    if name == "muon" and sft.axolotl.sharding.startswith("zero"):
        yield Issue(
            path,
            "Axolotl's muon does not work with DeepSpeed",
            "set sft.axolotl.sharding: fsdp2 or none",
        )
    if (
        name in ("adamw_8bit", "adamw_bnb_8bit", "paged_adamw_8bit")
        and sft.axolotl.sharding == "fsdp2"
    ):
        message = "8-bit optimisers of bitsandbytes do not work with FSDP2"
        yield Issue(
            path,
            message,
            "set sft.axolotl.sharding: zero2 or zero3, or sft.axolotl.optimizer: adamw",
        )


def _sharding(sft: Sft) -> Iterator[Issue]:
    """Settings of the user's own for FSDP and DeepSpeed must shard as the recipe says, and save a whole model."""
    fsdp = sft.axolotl.extra.get("fsdp_config")
    if isinstance(fsdp, dict) and fsdp.get("state_dict_type", _FULL) != _FULL != fsdp.get(
        "final_state_dict_type"
    ):
        hint = f"add final_state_dict_type: {_FULL}"
        yield Issue(
            "sft.axolotl.extra.fsdp_config", "the trained model would be saved in pieces", hint
        )
    if "deepspeed" in sft.axolotl.extra and sft.axolotl.sharding.startswith("zero"):
        yield from _deepspeed(sft.axolotl.extra["deepspeed"], int(sft.axolotl.sharding[-1]))


def _deepspeed(given: Any, stage: int) -> Iterator[Issue]:
    path = "sft.axolotl.extra.deepspeed"
    try:
        options = (
            given
            if isinstance(given, dict)
            else json.loads(Path(str(given)).read_text(encoding="utf-8"))
        )
        zero = dict(options["zero_optimization"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        hint = "give DeepSpeed's options with zero_optimization, or an absolute path of a JSON file of them"
        yield Issue(path, f"no options of ZeRO ({type(error).__name__})", hint)
        return
    if zero.get("stage") != stage:
        message = f"its stage is {zero.get('stage')}, and sft.axolotl.sharding says {stage}"
        yield Issue(path, message, "make them agree; memory is planned for sft.axolotl.sharding")
    if zero.get("stage") == 3 and not zero.get(_GATHER):
        yield Issue(
            path, "the trained model would be saved empty", f"add zero_optimization.{_GATHER}: true"
        )


def _kernels(recipe: Recipe, sft: Sft) -> Iterator[Issue]:
    if len(sft.axolotl.kernels) == 2:
        yield Issue(
            "sft.axolotl.kernels",
            "liger and cut_cross_entropy both replace the loss",
            "keep one of them",
        )
    if "cut_cross_entropy" not in sft.axolotl.kernels:
        return
    if recipe.model.precision == "float32":
        yield Issue(
            "sft.axolotl.kernels", "cut_cross_entropy needs bfloat16", "set model.precision to auto"
        )
    elif trained_in_float32(recipe, sft) and sft.axolotl.sharding == "none":
        message = "cut_cross_entropy needs hidden states in bfloat16, and those of float32 weights are float32"
        yield Issue(
            "sft.axolotl.kernels",
            message,
            "set sft.axolotl.kernels: [liger], or sft.axolotl.sharding, or train adapters",
        )
