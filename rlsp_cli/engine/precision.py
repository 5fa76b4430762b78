"""The number format of the computation: bfloat16 where it is faster, float32 elsewhere."""

import hashlib
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path

import torch
from torch import nn

from rlsp_cli.engine.cache_folder import cached_folder
from rlsp_cli.engine.processor import processor_name

_SMALL = 10_000_000
"""Smaller models lose more by casts than they gain: one of 227,000 parameters decodes at two thirds of the speed."""

_GAIN = 1.5
"""How many times faster a CPU must multiply in bfloat16: casts cost some of it.

Some are eight times as fast, and others seventy times slower. At twice the speed a model of 135
million parameters trains 1.4 times as fast.
"""

_FILE = "gain"


def autocast(model: nn.Module, precision: str) -> AbstractContextManager[object]:
    """Computation in the format that the recipe's `model.precision` means for this model."""
    device = next(model.parameters()).device.type
    return torch.autocast(device, torch.bfloat16, enabled=computes_in_bfloat16(model, precision))


def computes_in_bfloat16(model: nn.Module, precision: str) -> bool:
    """Whether `model.precision` means bfloat16 for this model."""
    device = next(model.parameters()).device
    return prefers_bfloat16(precision, device, sum(p.numel() for p in model.parameters()))


def prefers_bfloat16(precision: str, device: torch.device, parameters: int) -> bool:
    """`auto` is bfloat16 on a GPU, and on a CPU that is measured to be fast at it, for models of 10 million up."""
    if precision != "auto":
        return precision == "bfloat16"
    if device.type == "mps":
        return False
    if device.type != "cpu":
        return True
    return parameters >= _SMALL and _cpu_gain() >= _GAIN


@cache
def _cpu_gain() -> float:
    """How many times faster this CPU multiplies in bfloat16 than in float32.

    Measured once on a machine: near the limit noise would decide, and a resumed run might go on in
    another format.
    """
    key = hashlib.sha256(f"{processor_name()} {torch.__version__}".encode()).hexdigest()[:16]
    folder = cached_folder("bfloat16", key, _measure_gain)
    return float((folder / _FILE).read_text())


def _measure_gain(folder: Path) -> None:
    gain = _seconds(torch.float32) / _seconds(torch.bfloat16)
    (folder / _FILE).write_text(f"{gain}\n")


def _seconds(dtype: torch.dtype) -> float:
    """The fastest of five products of the size of a small model's layer."""
    left, right = torch.ones(64, 512, dtype=dtype), torch.ones(512, 512, dtype=dtype)
    return min(_timed(lambda: left @ right) for _ in range(5))


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
