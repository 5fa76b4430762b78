"""Serving a model with vLLM on this machine, from the environment of OpenRLHF."""

from rlsp_cli.backends.vllm.options import (
    LARGEST_RANK,
    QUESTIONS_CACHE_BYTES,
    for_questions,
    for_rollouts,
)
from rlsp_cli.backends.vllm.server import Server, rollout_environment, serving, serving_environment

__all__ = [
    "LARGEST_RANK",
    "QUESTIONS_CACHE_BYTES",
    "Server",
    "for_questions",
    "for_rollouts",
    "rollout_environment",
    "serving",
    "serving_environment",
]
