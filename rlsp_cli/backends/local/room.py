"""Whether the weights of a stage fit into memory, found out before any of them are loaded."""

import os
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from rlsp_cli.backends.local.held import FLOAT32_BYTES, Parameters, held_bytes
from rlsp_cli.engine.precision import prefers_bfloat16
from rlsp_cli.engine.source import source_of, unloadable
from rlsp_cli.errors import NotReadyError
from rlsp_cli.recipe.lora import Lora
from rlsp_cli.recipe.optimisation import Optimisation
from rlsp_cli.recipe.ppo import Ppo

_GIB = 2**30


def refuse_too_large(
    path: str, device: torch.device, settings: Optimisation | None = None, precision: str = "auto"
) -> None:
    """NotReadyError when the weights alone, with what the stage adds, outgrow the memory of `device`.

    Without `settings` the model is only sampled from. Adapters and activations come on top, so a
    stage that passes may still be too large; `rlsp plan` estimates them.
    """
    room, parameters = _room(device), count_parameters(path)
    bfloat16 = prefers_bfloat16(precision, device, parameters.whole)
    needed = needed_bytes(settings, parameters, bfloat16)
    if needed <= room:
        return

    advice = "choose a smaller model, or a backend that shares it out over GPUs"
    if settings is not None and settings.lora is None:
        least = needed_bytes(settings.model_copy(update={"lora": Lora()}), parameters, bfloat16)
        if least <= room:
            advice = f"with `lora: {{}}` it takes {least / _GIB:.1f} GiB and the adapters"

    raise NotReadyError(
        f"model {path!r} has {parameters.whole / 1e9:.2f} billion parameters, which take "
        f"{needed / _GIB:.1f} GiB of memory{_with_what(settings)}; {device.type} has "
        f"{room / _GIB:.1f} GiB: {advice}"
    )


def count_parameters(path: str) -> Parameters:
    """The parameters of a model by its configuration, without its weights.

    NotReadyError when there is no configuration of a known model.
    """
    name, options = source_of(path)
    try:
        config = AutoConfig.from_pretrained(name, **options)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config)
    except Exception as error:  # transformers' own kinds, and those of a model's code
        raise unloadable(path, error) from error

    output = model.get_output_embeddings().weight.numel()
    return Parameters(model.num_parameters(), model.base_model.num_parameters(), output)


def needed_bytes(settings: Optimisation | None, parameters: Parameters, bfloat16: bool) -> int:
    """The most that loading and the stage's models take; adapters count nothing."""
    loaded = FLOAT32_BYTES * parameters.whole
    return max(loaded, held_bytes(settings, parameters, bfloat16)) if settings else loaded


def _with_what(settings: Optimisation | None) -> str:
    parts = []
    if settings is not None and settings.lora is None:
        copies = "their copies for reference and critic, " if isinstance(settings, Ppo) else ""
        parts.append(f"{copies}gradients and Adam's moments")
    if isinstance(settings, Ppo) and settings.sampler == "vllm":
        parts.append("those of the vLLM server")
    return " with " + ", and ".join(parts) if parts else ""


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
