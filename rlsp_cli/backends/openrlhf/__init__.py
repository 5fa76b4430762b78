"""OpenRLHF as a backend of PPO."""

from rlsp_cli.backends.openrlhf.backend import OpenRlhfBackend

__all__ = ["OpenRlhfBackend"]
