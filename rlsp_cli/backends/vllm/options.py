"""What `vllm serve` is given for one purpose, beside what all servers have."""

from collections.abc import Mapping
from dataclasses import dataclass, field

_PLAIN = ("-m", "vllm.entrypoints.cli.main")
_GUARDED = (
    "-c",
    "from vllm.entrypoints.serve.middleware import authenticate; "
    "authenticate.GUARDED_PREFIX += ('/',); "
    "from vllm.entrypoints.cli.main import main; main()",
)
"""The same, with the key asked for at every address.

vLLM asks for it below /v1 alone, and any user of this machine could load weights.
"""
_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""The values that vLLM takes for the largest rank of adapters."""
LARGEST_RANK = _RANKS[-1]


@dataclass(frozen=True)
class ServeOptions:
    """Options, switches and environment variables of a server, and the program that it runs."""

    options: Mapping[str, str | int | float] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    program: tuple[str, ...] = _PLAIN


NO_OPTIONS = ServeOptions()
"""Of a server that serves one model as it is."""


QUESTIONS_CACHE_BYTES = 4 * 2**30
"""Bytes for keys and values of a server that is asked a few questions at a time."""


def for_questions() -> ServeOptions:
    """A server that answers plugins, and leaves the rest of the GPUs to the trainer."""
    # With the size of the cache given, the share is only how much must be free at the start.
    return ServeOptions(
        {"kv-cache-memory-bytes": QUESTIONS_CACHE_BYTES, "gpu-memory-utilization": 0.01}
    )


def for_rollouts(sequences: int, length: int, cache: float, rank: int | None) -> ServeOptions:
    """A server that samples in training, beside the trainer on one GPU, and takes new weights.

    `sequences` are decoded at once, each of `length` tokens at most, prompt included; `cache` are
    bytes for their keys and values; `rank` is that of the adapter, if one is trained.
    """
    options: dict[str, str | int | float] = {
        "max-num-seqs": sequences,
        "max-model-len": length,
        "kv-cache-memory-bytes": int(cache),
        # With the size of the cache given, this is only how much must be free at the start.
        "gpu-memory-utilization": 0.01,
        # Of the distribution that tokens are drawn from, and not of the one at temperature 1.
        "logprobs-mode": "processed_logprobs",
    }
    # Its throughput in the log is the sign that it goes on.
    variables = {"VLLM_LOGGING_LEVEL": "INFO"}
    if rank is None:
        return ServeOptions(options, (), {**variables, "VLLM_SERVER_DEV_MODE": "1"}, _GUARDED)

    options["max-lora-rank"] = next(known for known in _RANKS if known >= rank)
    variables["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] = "True"
    return ServeOptions(options, ("--enable-lora",), variables, _GUARDED)
