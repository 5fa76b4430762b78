"""OpenRLHF as a backend of PPO: the recipe becomes a job on a Ray cluster, which runs in OpenRLHF's own environment."""

from rlsp_cli.backends.probe import probe

__all__ = ["STAGES", "TESTED", "probe"]

STAGES = ("ppo",)
TESTED = ("0.10.1.post2", "0.11.2")
"""Versions that rlsp is tested with, the newest last."""
