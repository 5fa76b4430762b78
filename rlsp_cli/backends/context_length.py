"""Whether a model has positions for sequences of some length, before anything loads it."""

from collections.abc import Iterator, Mapping
from typing import Any

from rlsp_cli.backends.model_shape import model_config
from rlsp_cli.recipe.issue import Issue
from rlsp_cli.recipe.model import Model

_SCALING_INCLUDED = ("default", "llama3", "longrope", "su")
"""Kinds of RoPE whose `max_position_embeddings` includes their scaling (modeling_rope_utils.py)."""


def context_length(model: Model) -> int | None:
    """Positions of a model with its RoPE scaling, as vLLM counts them; None without its configuration.

    The hub is not asked: a folder, the hub's cache and the table `models.json` are looked at.
    """
    if model.from_scratch is not None:
        return model.from_scratch.max_length

    # A model of texts and images keeps the language model's configuration in a part of its own.
    config = model_config(model) or {}
    config = config.get("text_config") or config
    positions = config.get("max_position_embeddings")
    if not isinstance(positions, int):
        return None

    rope = config.get("rope_parameters") or config.get("rope_scaling")
    return _scaled(positions, rope if isinstance(rope, dict) else {})


def overflow(model: Model, tokens: int, path: str, what: str, hint: str) -> Iterator[Issue]:
    """An issue at `path` where `what` may have more tokens than the model has positions."""
    limit = context_length(model)
    if limit is None or tokens <= limit:
        return

    has = f"{model.path} has positions for"
    if model.from_scratch:
        has = "model.from_scratch.max_length is"
    yield Issue(path, f"{what} may have {tokens} tokens, and {has} {limit}", hint)


def _scaled(positions: int, rope: Mapping[str, Any]) -> int:
    kind = rope.get("rope_type") or rope.get("type") or "default"
    if kind in _SCALING_INCLUDED:
        return positions

    # YaRN's factor is relative to the length before it, which the other number may not be.
    if kind == "yarn":
        positions = rope.get("original_max_position_embeddings") or positions
    return int(positions * (rope.get("factor") or 1))
