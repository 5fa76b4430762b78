"""Settings that Axolotl accepts together and that go wrong later, or that it refuses after its slow start."""

from collections.abc import Iterator

from rlsp_cli.backends.axolotl.config import attention, trained_in_float32
from rlsp_cli.backends.axolotl.keys import Keys
from rlsp_cli.recipe.problem import Problem
from rlsp_cli.recipe.schema import Recipe, Sft

_ISOLATES = "sdpa_varlen"
"""The key that came with the isolation of packed rows under sdpa and eager attention (0.18)."""


def conflicts(recipe: Recipe, keys: Keys) -> Iterator[Problem]:
    """What is wrong, for a version of Axolotl that has these keys."""
    assert recipe.sft, "checked by the recipe"
    if not recipe.cluster.gpus_per_node:
        yield from _on_cpu(recipe, recipe.sft)
    if recipe.sft.packing and attention(recipe) in ("sdpa", "eager") and _ISOLATES not in keys:
        hint = "set model.attention: flash_attention_2, or install a tested version"
        yield Problem("sft.packing", f"with {attention(recipe)} attention, packed examples would see each other", hint)
    yield from _optimiser(recipe.sft)
    yield from _kernels(recipe, recipe.sft)


def _on_cpu(recipe: Recipe, sft: Sft) -> Iterator[Problem]:
    needs_gpu = {
        "sft.sharding": sft.sharding != "none",
        "sft.kernels": bool(sft.kernels),
        "sft.lora.bits": sft.lora is not None and sft.lora.bits is not None,
        "sft.optimizer": sft.optimizer.endswith("8bit"),
        "model.attention": attention(recipe).startswith("fl"),  # flash and flex
    }
    for path, asked in needs_gpu.items():
        if asked:
            yield Problem(path, f"{path} needs GPUs, and cluster.gpus_per_node is 0", "set it, or remove this key")
    if recipe.model.precision == "bfloat16":
        yield Problem("model.precision", "Axolotl computes in bfloat16 on GPUs only", "set it to auto or float32")


def _optimiser(sft: Sft) -> Iterator[Problem]:
    if sft.optimizer == "muon" and sft.sharding.startswith("zero"):
        yield Problem("sft.optimizer", "Axolotl's muon does not work with DeepSpeed", "set sft.sharding: fsdp2 or none")
    if sft.optimizer.endswith("8bit") and sft.sharding == "fsdp2":
        message = "8-bit optimisers of bitsandbytes do not work with FSDP2"
        yield Problem("sft.optimizer", message, "set sft.sharding: zero2 or zero3, or sft.optimizer: adamw")


def _kernels(recipe: Recipe, sft: Sft) -> Iterator[Problem]:
    if len(sft.kernels) == 2:
        yield Problem("sft.kernels", "liger and cut_cross_entropy both replace the loss", "keep one of them")
    if "cut_cross_entropy" not in sft.kernels:
        return
    if recipe.model.precision == "float32":
        yield Problem("sft.kernels", "cut_cross_entropy needs bfloat16", "set model.precision to auto")
    elif trained_in_float32(recipe) and sft.sharding == "none":
        message = "cut_cross_entropy needs hidden states in bfloat16, and those of float32 weights are float32"
        yield Problem("sft.kernels", message, "set sft.kernels: [liger], or sft.sharding, or train adapters")
