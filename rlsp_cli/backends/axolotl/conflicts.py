"""Settings that go wrong together later, or that Axolotl refuses after its slow start."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rlsp_cli.backends.axolotl.config import attention, trained_in_float32
from rlsp_cli.backends.axolotl.keys import Keys
from rlsp_cli.recipe.issue import Issue
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.recipe.sft import Sft

_FULL = "FULL_STATE_DICT"
_GATHER = "stage3_gather_16bit_weights_on_model_save"
_ISOLATES = "sdpa_varlen"
"""The key that came with the isolation of packed examples under sdpa and eager attention (0.18)."""
_ADAMW_OF_BITSANDBYTES = ("adamw_8bit", "adamw_bnb_8bit", "paged_adamw_8bit")


def conflicts(recipe: Recipe, sft: Sft, keys: Keys) -> Iterator[Issue]:
    """What is wrong, for a version of Axolotl that has these keys."""
    if not recipe.cluster.gpus_per_node:
        yield from _on_cpu(recipe, sft)

    # Older versions train on packed examples that see each other, without a warning.
    if sft.axolotl.packing and attention(recipe) in ("sdpa", "eager") and _ISOLATES not in keys:
        message = f"with {attention(recipe)} attention, packed examples would see each other"
        hint = "set model.attention: flash_attention_2, or install a tested version"
        yield Issue("sft.axolotl.packing", message, hint)

    if sft.lora is not None and sft.lora.keep_adapter:
        yield Issue("sft.lora.keep_adapter", "rlsp keeps the merged model alone", "leave it out")
    if sft.kind == "dpo":
        yield from _dpo(sft)
    yield from _optimiser(sft)
    yield from _sharding(sft)
    yield from _kernels(recipe, sft)


def _dpo(sft: Sft) -> Iterator[Issue]:
    """Settings that are for other kinds of training than on pairs."""
    if sft.axolotl.packing:
        yield Issue("sft.axolotl.packing", "Axolotl packs no pairs", "leave it out")
    if sft.axolotl.kernels:
        message = "they are for the loss of imitation, and pairs have another one"
        yield Issue("sft.axolotl.kernels", message, "leave it out")


def _on_cpu(recipe: Recipe, sft: Sft) -> Iterator[Issue]:
    lora = sft.lora
    needs_gpu = {
        "sft.axolotl.sharding": sft.axolotl.sharding != "none",
        "sft.axolotl.kernels": bool(sft.axolotl.kernels),
        "sft.lora.bits": lora is not None and lora.bits is not None,
        "sft.axolotl.optimizer": sft.axolotl.optimizer.endswith("8bit"),
        "model.attention": attention(recipe).startswith(("flash", "flex")),
    }
    for path, asked in needs_gpu.items():
        if asked:
            message = f"{path} needs GPUs, and cluster.gpus_per_node is 0"
            yield Issue(path, message, "set it, or remove this key")

    if recipe.model.precision == "bfloat16":
        message = "Axolotl computes in bfloat16 on GPUs only"
        yield Issue("model.precision", message, "set it to auto or float32")


def _optimiser(sft: Sft) -> Iterator[Issue]:
    """Pairs that `axolotl/utils/schemas/validation.py` refuses, before Axolotl is started."""
    extra, sharding = sft.axolotl.extra, sft.axolotl.sharding
    name = str(extra.get("optimizer", sft.axolotl.optimizer))
    path = "sft.axolotl.extra.optimizer" if "optimizer" in extra else "sft.axolotl.optimizer"

    if name == "muon" and sharding.startswith("zero"):
        message = "Axolotl's muon does not work with DeepSpeed"
        yield Issue(path, message, "set sft.axolotl.sharding: fsdp2 or none")

    if name in _ADAMW_OF_BITSANDBYTES and sharding == "fsdp2":
        message = "8-bit optimisers of bitsandbytes do not work with FSDP2"
        hint = "set sft.axolotl.sharding: zero2 or zero3, or sft.axolotl.optimizer: adamw"
        yield Issue(path, message, hint)


def _sharding(sft: Sft) -> Iterator[Issue]:
    """The user's own FSDP or DeepSpeed must shard as the recipe says, and save a whole model."""
    fsdp = sft.axolotl.extra.get("fsdp_config")
    if isinstance(fsdp, dict):
        in_shards = fsdp.get("state_dict_type", _FULL) != _FULL
        if in_shards and fsdp.get("final_state_dict_type") != _FULL:
            message = "the trained model would be saved in pieces"
            hint = f"add final_state_dict_type: {_FULL}"
            yield Issue("sft.axolotl.extra.fsdp_config", message, hint)

    if "deepspeed" in sft.axolotl.extra and sft.axolotl.sharding.startswith("zero"):
        yield from _deepspeed(sft.axolotl.extra["deepspeed"], int(sft.axolotl.sharding[-1]))


def _deepspeed(given: Any, stage: int) -> Iterator[Issue]:
    """The user's DeepSpeed options, a mapping or the path of a JSON file, for ZeRO `stage`."""
    path = "sft.axolotl.extra.deepspeed"
    try:
        zero = dict(_deepspeed_options(given)["zero_optimization"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        message = f"no options of ZeRO ({type(error).__name__})"
        whole = "DeepSpeed's options with zero_optimization"
        hint = f"give {whole}, or an absolute path of a JSON file of them"
        yield Issue(path, message, hint)
        return

    if zero.get("stage") != stage:
        message = f"its stage is {zero.get('stage')}, and sft.axolotl.sharding says {stage}"
        yield Issue(path, message, "make them agree; memory is planned for sft.axolotl.sharding")

    # Stage 3 shards the weights themselves: each process would save tensors of size 0.
    if zero.get("stage") == 3 and not zero.get(_GATHER):
        message = "the trained model would be saved empty"
        yield Issue(path, message, f"add zero_optimization.{_GATHER}: true")


def _deepspeed_options(given: Any) -> Any:
    if isinstance(given, dict):
        return given
    return json.loads(Path(str(given)).read_text(encoding="utf-8"))


def _kernels(recipe: Recipe, sft: Sft) -> Iterator[Issue]:
    path, kernels = "sft.axolotl.kernels", sft.axolotl.kernels
    if len(kernels) == 2:
        message = "liger and cut_cross_entropy both replace the loss"
        yield Issue(path, message, "keep one of them")

    if "cut_cross_entropy" not in kernels:
        return
    if recipe.model.precision == "float32":
        message = "cut_cross_entropy needs bfloat16"
        yield Issue(path, message, "set model.precision to auto")
    elif trained_in_float32(recipe, sft) and sft.axolotl.sharding == "none":
        # FSDP's mixed precision computes in 16 bits whatever the weights are; here nothing does.
        needs = "cut_cross_entropy needs hidden states in bfloat16"
        message = f"{needs}, and those of float32 weights are float32"
        hint = "set sft.axolotl.kernels: [liger], or sft.axolotl.sharding, or train adapters"
        yield Issue(path, message, hint)
