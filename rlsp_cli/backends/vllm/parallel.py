"""How a model is spread over the GPUs that serve it."""

from pathlib import Path
from typing import NamedTuple

from rlsp_cli.backends.model_shape import model_shape
from rlsp_cli.recipe.model import Model

_WEIGHTS_SHARE = 0.6
"""Share of a GPU that weights may take: vLLM uses 0.92, so a third is left for the rest.

With less a batch of long responses does not fit, and sharding costs less than a batch that waits.
"""


class Parallelism(NamedTuple):
    """How GPUs are used: `tensor` of them share a copy of the model, and there are `data` copies."""

    tensor: int = 1
    data: int = 1


def parallel(
    weights: float, memory: float, gpus: int, heads: tuple[int, int] | None = None
) -> Parallelism:
    """The fewest GPUs for a copy whose memory holds the weights, then as many copies as fit.

    `weights` and `memory` are bytes, of the model and of one GPU. `heads` are those of queries and
    of keys: vLLM shares them out evenly, so copies span powers of two that divide the first, and
    divide the second or are multiples of it. Where nothing holds the weights, one copy spans all
    the GPUs that it can. Without GPUs it is one copy.
    """
    if not gpus:
        return Parallelism()

    powers = [2**exponent for exponent in range(gpus.bit_length())]
    spans = [power for power in powers if _divides(power, heads)]
    for span in spans:
        if weights / span <= _WEIGHTS_SHARE * memory:
            return Parallelism(span, gpus // span)
    return Parallelism(spans[-1], gpus // spans[-1])


def weights_of(model: str, bytes_each: int) -> float:
    """Bytes of a model's weights as served; of its files if its shape is unknown, else 0."""
    shape = model_shape(Model(path=model))
    if shape is not None:
        return float(bytes_each * shape.parameters)
    return float(sum(file.stat().st_size for file in Path(model).glob("*.safetensors")))


def heads_of(model: str) -> tuple[int, int] | None:
    """Attention heads of queries and of keys; None if the model's shape is unknown."""
    shape = model_shape(Model(path=model))
    return (shape.heads, shape.kv_heads) if shape else None


def _divides(span: int, heads: tuple[int, int] | None) -> bool:
    """Whether heads are shared out evenly; more GPUs than heads of keys hold copies of them."""
    if heads is None:
        return True
    queries, keys = heads
    return queries % span == 0 and (keys % span == 0 or span % keys == 0)
