"""What a GPU can do, by NVIDIA's data sheets."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Gpu:
    """Memory in bytes, dense bfloat16 operations per second, bytes per second from its memory."""

    name: str
    memory: float
    flops: float
    bandwidth: float


GPUS = {
    gpu.name: gpu
    for gpu in (
        Gpu("l4", 24e9, 121e12, 0.300e12),
        Gpu("l40s", 48e9, 362e12, 0.864e12),
        Gpu("a100-40", 40e9, 312e12, 1.555e12),
        Gpu("a100-80", 80e9, 312e12, 2.039e12),
        Gpu("h100", 80e9, 989e12, 3.35e12),
        Gpu("h200", 141e9, 989e12, 4.8e12),
    )
}
"""The SXM form where there are several; no sparsity. An A800 or H800 counts as A100 or H100."""
