"""What Axolotl's options need beside Axolotl."""

from collections.abc import Callable
from typing import Any

from rlsp_cli.backends.need import Need

_INTO = "install it into the environment that Axolotl runs in"
_SDPA = "or set model.attention: sdpa, which needs nothing"
_FORK = "git+https://github.com/axolotl-ai-cloud/ml-cross-entropy"


_OPTIMISERS = {
    "bitsandbytes": ("adamw_8bit", "adamw_bnb", "ademamix", "lion_", "paged_", "rmsprop_bnb"),
    "torchao": ("ao_", "adamw_torch_4bit", "adamw_torch_8bit"),
    "apollo_torch": ("apollo_",),
    "came_pytorch": ("came_",),
    "flashoptim": ("flash_",),
    "galore_torch": ("galore_",),
    "grokadamw": ("grokadamw",),
    "lomo_optim": ("lomo", "adalomo"),
    "optimi": ("optimi_", "stable_adamw"),
    "q_galore_torch": ("q_galore_",),
    "schedulefree": ("schedule_free_",),
}
"""Packages, and how the names of the optimisers begin that come from them; the others are torch's and Axolotl's own."""
_TRACKERS = {
    "wandb": "wandb",
    "mlflow": "mlflow",
    "trackio": "trackio",
    "tensorboard": "tensorboard",
    "comet": "comet_ml",
}


def _is(name: str) -> Callable[[Any], bool]:
    return lambda value: value == name


def _begins(*beginnings: str) -> Callable[[Any], bool]:
    return lambda value: str(value).startswith(beginnings)


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
    *(
        Need(key, bool, ("flash_attn",), f"{_INTO}, or leave it out")
        for key in ("flash_attn_cross_entropy", "flash_attn_fuse_mlp")
    ),
    Need("load_in_4bit", bool, ("bitsandbytes",), _INTO),
    Need("load_in_8bit", bool, ("bitsandbytes",), _INTO),
    *(
        Need(
            "optimizer",
            _begins(*beginnings),
            (package,),
            f"{_INTO}, or set sft.axolotl.optimizer: adamw",
        )
        for package, beginnings in _OPTIMISERS.items()
    ),
    *(
        Need(f"use_{name}", bool, (package,), f"{_INTO}, or leave it out of tracking.to")
        for name, package in _TRACKERS.items()
    ),
    Need("use_ray", bool, ("ray",), _INTO),
    Need("deepspeed", bool, ("deepspeed",), f"{_INTO}, or set sft.axolotl.sharding: fsdp2"),
    Need("liger_rope", bool, ("liger_kernel",), f"{_INTO}, or leave sft.axolotl.kernels out"),
    Need(
        "cut_cross_entropy",
        bool,
        ("cut_cross_entropy.transformers.patch:AXOLOTL_CCE_FORK",),
        f"{_INTO} (pip install 'cut-cross-entropy[transformers] @ {_FORK}'), or set sft.axolotl.kernels: [liger]",
    ),
)
"""Keys of the configuration whose values need a package or kernel that Axolotl itself comes without."""
