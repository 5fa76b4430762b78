"""Serving a model with vLLM on this machine, from the environment of OpenRLHF."""

from rlsp_cli.backends.vllm.server import Server, serving, serving_environment

__all__ = ["Server", "serving", "serving_environment"]
