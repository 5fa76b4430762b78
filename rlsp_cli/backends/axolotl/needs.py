"""What Axolotl's options need beside Axolotl. Its locks have bitsandbytes, that for GPUs DeepSpeed and Liger too."""

from collections.abc import Callable
from typing import Any

from rlsp_cli.backends.need import Need

_INTO = "install it into the environment that Axolotl runs in"
_SDPA = "or set model.attention: sdpa, which needs nothing"
_FORK = "git+https://github.com/axolotl-ai-cloud/ml-cross-entropy"


def _is(name: str) -> Callable[[Any], bool]:
    return lambda value: value == name


def _quantised_optimiser(name: Any) -> bool:
    return any(part in str(name) for part in ("8bit", "4bit", "paged", "bnb")) and not str(name).startswith("ao_")


NEEDS = (
    Need(
        "attn_implementation",
        _is("flash_attention_2"),
        ("flash_attn", "kernels-community/flash-attn2"),
        f"{_INTO} (pip install flash-attn --no-build-isolation), {_SDPA}",
    ),
    Need(
        "attn_implementation",
        _is("flash_attention_3"),
        ("flash_attn_interface", "kernels-community/vllm-flash-attn3"),
        f"{_INTO}, {_SDPA}",
    ),
    Need(
        "attn_implementation",
        _is("flash_attention_4"),
        ("flash_attn.cute.interface:", "kernels-community/flash-attn4"),
        f"{_INTO}, {_SDPA}",
    ),
    Need("load_in_4bit", bool, ("bitsandbytes",), _INTO),
    Need("load_in_8bit", bool, ("bitsandbytes",), _INTO),
    Need("optimizer", _quantised_optimiser, ("bitsandbytes",), f"{_INTO}, or set sft.optimizer: adamw"),
    Need("deepspeed", bool, ("deepspeed",), f"{_INTO}, or set sft.sharding: fsdp2"),
    Need("liger_rope", bool, ("liger_kernel",), f"{_INTO}, or leave sft.kernels out"),
    Need(
        "cut_cross_entropy",
        bool,
        ("cut_cross_entropy.transformers.patch:AXOLOTL_CCE_FORK",),
        f"{_INTO} (pip install 'cut-cross-entropy[transformers] @ {_FORK}'), or set sft.kernels: [liger]",
    ),
)
"""Keys of the configuration whose values need a package or kernel that Axolotl itself comes without."""
