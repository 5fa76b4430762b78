"""The number format of the computation: bfloat16 where it is faster, float32 elsewhere."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cache

import torch
from torch import nn

_SMALL = 10_000_000
"""Smaller models lose more by casts than they gain: one of 227,000 parameters decodes at two thirds of the speed."""

_GAIN = 2.0
"""How many times faster a CPU must be in bfloat16. Some are eight times as fast, and others seventy times slower."""


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
    """How many times faster this CPU multiplies in bfloat16 than in float32."""
    return _seconds(torch.float32) / _seconds(torch.bfloat16)


def _seconds(dtype: torch.dtype) -> float:
    """The fastest of five products of the size of a small model's layer."""
    left, right = torch.ones(64, 512, dtype=dtype), torch.ones(512, 512, dtype=dtype)
    return min(_timed(lambda: left @ right) for _ in range(5))


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
