"""Verdicts on responses: as files have them, and by a verifier that is named alone."""

import os
from collections.abc import Mapping
from typing import Any

from rlsp_cli.recipe.load import resolve_recipe
from rlsp_cli.recipe.reward import Reward
from rlsp_cli.rewards.registry import resolve_options


def verdict_of(columns: Mapping[str, Any]) -> float | None:
    """The verdict in a row of a run, or in a user's own; None without one."""
    judged = columns.get("correctness")
    value = judged.get("value") if isinstance(judged, dict) else columns.get("correct")
    return float(value) if isinstance(value, bool | int | float) else None


def reward_of(verifier: str) -> Reward:
    """A verifier with its defaults, on all cores."""
    reward = {"correctness": {"use": verifier}, "workers": os.cpu_count() or 1}
    return resolve_recipe({"name": "traces", "reward": reward}, plugins=resolve_options).reward
