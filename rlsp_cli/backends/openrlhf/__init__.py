"""OpenRLHF as a backend of PPO: the recipe becomes a command for its Ray cluster, with our rewards in it."""

from rlsp_cli.backends.openrlhf.backend import OpenRlhfBackend

__all__ = ["OpenRlhfBackend"]
