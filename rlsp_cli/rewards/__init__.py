"""Rewards: what a plugin author needs, re-exported. A plugin is a plain typed function under one of the decorators."""

from rlsp_cli.rewards.answers import last_boxed
from rlsp_cli.rewards.registry import exploration_reward, task, verifier
from rlsp_cli.rewards.sample import Sample, Verdict

__all__ = ["Sample", "Verdict", "exploration_reward", "last_boxed", "task", "verifier"]
