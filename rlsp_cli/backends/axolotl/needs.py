"""What Axolotl's options need beside Axolotl."""

from collections.abc import Callable, Iterator
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
"""Package -> how names of its optimisers begin. Others are torch's and Axolotl's own."""
_TRACKERS = {
    "wandb": "wandb",
    "mlflow": "mlflow",
    "trackio": "trackio",
    "tensorboard": "tensorboard",
    "comet": "comet_ml",
}


def _equals(name: str) -> Callable[[Any], bool]:
    return lambda value: value == name


def _begins(*beginnings: str) -> Callable[[Any], bool]:
    return lambda value: str(value).startswith(beginnings)


def _attention() -> Iterator[Need]:
    """Builds of flash attention, each with the kernel of the hub that Axolotl takes in its place.

    `kernels` finds one in its cache without a network; a kernel that is not there yet would have to
    be downloaded by a node that may have no way out.
    """
    built = f"{_INTO} (pip install flash-attn --no-build-isolation), {_SDPA}"
    found = f"{_INTO}, {_SDPA}"
    builds = (
        ("flash_attention_2", "flash_attn", "kernels-community/flash-attn2", built),
        (
            "flash_attention_3",
            "flash_attn_interface",
            "kernels-community/vllm-flash-attn3",
            found,
        ),
        # flash-attn 4 installs into the package of version 2, so that name alone tells nothing.
        (
            "flash_attention_4",
            "flash_attn.cute.interface:",
            "kernels-community/flash-attn4",
            found,
        ),
    )
    for name, module, kernel, hint in builds:
        yield Need("attn_implementation", _equals(name), (module, kernel), hint)

    for key in ("flash_attn_cross_entropy", "flash_attn_fuse_mlp"):
        yield Need(key, bool, ("flash_attn",), f"{_INTO}, or leave it out")


def _optimisers() -> Iterator[Need]:
    hint = f"{_INTO}, or set sft.axolotl.optimizer: adamw"
    for package, beginnings in _OPTIMISERS.items():
        yield Need("optimizer", _begins(*beginnings), (package,), hint)


def _trackers() -> Iterator[Need]:
    hint = f"{_INTO}, or leave it out of tracking.to"
    for name, package in _TRACKERS.items():
        yield Need(f"use_{name}", bool, (package,), hint)


def _kernels() -> Iterator[Need]:
    without_liger = f"{_INTO}, or leave sft.axolotl.kernels out"
    yield Need("liger_rope", bool, ("liger_kernel",), without_liger)

    # The release on PyPI has the same name and lacks what Axolotl imports: a word tells them apart.
    fork = ("cut_cross_entropy.transformers.patch:AXOLOTL_CCE_FORK",)
    install = f"pip install 'cut-cross-entropy[transformers] @ {_FORK}'"
    hint = f"{_INTO} ({install}), or set sft.axolotl.kernels: [liger]"
    yield Need("cut_cross_entropy", bool, fork, hint)


NEEDS = (
    *_attention(),
    *_optimisers(),
    *_trackers(),
    *_kernels(),
    Need("load_in_4bit", bool, ("bitsandbytes",), _INTO),
    Need("load_in_8bit", bool, ("bitsandbytes",), _INTO),
    Need("use_ray", bool, ("ray",), _INTO),
    Need("deepspeed", bool, ("deepspeed",), f"{_INTO}, or set sft.axolotl.sharding: fsdp2"),
)
"""Keys whose values need a package or kernel that does not come with Axolotl."""
