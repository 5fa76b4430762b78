"""Whether the weights of a stage fit into memory, found out before any of them are loaded."""

import os
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from rlsp_cli.engine.source import source_of, unloadable
from rlsp_cli.errors import NotReadyError
from rlsp_cli.recipe.schema import Optimisation, Ppo

_WEIGHT, _LEARNING = 4, 12
"""Bytes of a parameter in float32, in which models are loaded; and of its gradient and Adam's two moments."""
_GIB = 2**30


def refuse_too_large(path: str, device: torch.device, settings: Optimisation | None = None) -> None:
    """NotReadyError when the weights alone, with what learning adds, outgrow the memory of `device`.

    Without `settings` the model is only sampled from. Activations come on top, so a stage that
    passes may still be too large; `rlsp plan` estimates them.
    """
    room, parameters = _room(device), count_parameters(path)
    needed = parameters * bytes_per_parameter(settings)
    if needed <= room:
        return

    least = parameters * _WEIGHT
    advice = "choose a smaller model, or a backend that shares it out over GPUs"
    if settings is not None and least <= room and settings.lora is None:
        advice = f"with `lora: {{}}` it takes {least / _GIB:.1f} GiB and the adapters"

    raise NotReadyError(
        f"model {path!r} has {parameters / 1e9:.2f} billion parameters, which take "
        f"{needed / _GIB:.1f} GiB of memory{_with_what(settings)}; {device.type} has "
        f"{room / _GIB:.1f} GiB: {advice}"
    )


def count_parameters(path: str) -> int:
    """The parameters of a model by its configuration, without its weights.

    NotReadyError when there is no configuration of a known model.
    """
    name, options = source_of(path)
    try:
        config = AutoConfig.from_pretrained(name, **options)
        with torch.device("meta"):
            return int(AutoModelForCausalLM.from_config(config).num_parameters())
    except Exception as error:  # transformers' own kinds, and those of a model's code
        raise unloadable(path, error) from error


def bytes_per_parameter(settings: Optimisation | None) -> int:
    """What each parameter of the model takes in a stage; adapters count nothing."""
    if settings is None or settings.lora is not None:
        return _WEIGHT
    learned = _WEIGHT + _LEARNING
    if not isinstance(settings, Ppo):
        return learned
    has_critic = settings.estimator == "gae" and settings.critic == "own"
    return learned * (1 + has_critic) + (_WEIGHT if settings.uses_kl else 0)


def _with_what(settings: Optimisation | None) -> str:
    if settings is None or settings.lora is not None:
        return ""
    if isinstance(settings, Ppo):
        return " with their copies for reference and critic, gradients and Adam's moments"
    return " with gradients and Adam's moments"


def _room(device: torch.device) -> float:
    """Bytes that are free on a GPU, or that the machine or this process's container has."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if device.type == "mps":
        return torch.mps.recommended_max_memory()
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(physical, _container_limit())


def _container_limit() -> float:
    """The limit of the control group (version 2); no limit where there is none."""
    try:
        return float(Path("/sys/fs/cgroup/memory.max").read_text())
    except (OSError, ValueError):  # no such file, or "max"
        return float("inf")
