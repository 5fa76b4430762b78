"""What OpenRLHF's options need beside OpenRLHF.

rlsp's lock for GPUs has all of it but cupy, that for the CPU little.
"""

from collections.abc import Callable
from typing import Any

from rlsp_cli.backends.need import Need

_INTO = "install it into the environment that OpenRLHF runs in"


def _equals(name: str) -> Callable[[Any], bool]:
    return lambda value: value == name


def _many(value: Any) -> bool:
    return isinstance(value, int) and value > 1


NEEDS = (
    Need(
        "ds.ring_attn_size",
        _many,
        ("ring_flash_attn",),
        f"{_INTO}, or leave ppo.openrlhf.ring_attention out",
    ),
    Need("ds.use_liger_kernel", bool, ("liger_kernel",), f"{_INTO}, or leave it out"),
    Need(
        "ds.attn_implementation",
        _equals("flash_attention_2"),
        ("flash_attn",),
        f"{_INTO} (pip install flash-attn --no-build-isolation)",
    ),
    Need(
        "ds.attn_implementation",
        _equals("flash_attention_3"),
        ("flash_attn_interface", "kernels-community/vllm-flash-attn3"),
        f"{_INTO}, or set model.attention: flash_attention_2",
    ),
    Need("vllm.sync_with_ray", bool, ("cupy",), f"{_INTO}, or leave it out"),
    Need("logger.wandb.key", bool, ("wandb",), f"{_INTO}, or leave wandb out of tracking.to"),
    Need(
        "logger.tensorboard_dir",
        bool,
        ("tensorboard",),
        f"{_INTO}, or leave tensorboard out of tracking.to",
    ),
)
"""Options whose values need a package or kernel that an environment may lack."""
