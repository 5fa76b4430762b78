"""The tiny model of a smoke test: of the family of the recipe's model, or else a stand-in."""

from pathlib import Path
from typing import Any

from rlsp_cli.backends.model_shape import model_config
from rlsp_cli.errors import NotReadyError
from rlsp_cli.hub_cache import cached_file
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.smoke.standin import StandIn

_WIDTH, _HEADS, _LAYERS = 64, 4, 2
_POSITIONS = 4096
"""Longest sequence of a stand-in, in words."""


def tiny_model(recipe: Recipe, folder: Path) -> tuple[dict[str, Any], StandIn]:
    """The section `model` of a smoke test, and what it stands for.

    A model with a path becomes a tiny one in `folder`, with the same architecture, tokenizer and
    chat template, if its configuration and tokenizer are on this machine.
    """
    model = recipe.model.model_dump(mode="json")
    if recipe.model.from_scratch is not None:
        scratch = _smaller(recipe.model.from_scratch.model_dump())
        instead = f"{scratch['num_layers']} layers of width {scratch['hidden_size']}"
        return {**model, "from_scratch": scratch}, StandIn("model", instead, "small enough")

    path = recipe.model.path
    if path is None:
        return _stranger(recipe, model, "the recipe names no model")
    if not _is_here(path):  # seen without torch, which takes seconds to load
        return _stranger(
            recipe, model, f"neither files nor tokenizer of {path} are on this machine"
        )
    try:
        family = _written(path, folder, recipe.seed)
    except NotReadyError as error:
        return _stranger(recipe, model, str(error))
    words = f"a tiny {family} with random weights and the same tokenizer"
    return {**model, "path": str(folder)}, StandIn("model.path", words, f"instead of {path}")


def _is_here(path: str) -> bool:
    """Whether a model is a folder, a file, or in the hub's cache."""
    return Path(path).exists() or cached_file(path, "tokenizer_config.json") is not None


def _written(path: str, folder: Path, seed: int) -> str:
    from rlsp_cli.backends.local.tiny_model import write_tiny_model  # torch

    return write_tiny_model(path, folder, seed)


def _smaller(scratch: dict[str, Any]) -> dict[str, Any]:
    """The same with fewer layers, and narrower if it is wide."""
    scratch["num_layers"] = min(scratch["num_layers"], _LAYERS)
    if scratch["hidden_size"] > _WIDTH:
        sizes = {"hidden_size": _WIDTH, "num_heads": _HEADS, "intermediate_size": 2 * _WIDTH}
        scratch.update(sizes)
    return scratch


def _stranger(recipe: Recipe, model: dict[str, Any], why: str) -> tuple[dict[str, Any], StandIn]:
    """A model of the same type, or a llama, with a tokenizer of words."""
    known = model_config(recipe.model) or {}
    kind = str(known.get("model_type", "llama"))
    scratch = {
        "model_type": kind,
        "hidden_size": _WIDTH,
        "intermediate_size": 2 * _WIDTH,
        "num_layers": _LAYERS,
        "num_heads": _HEADS,
        "max_length": _POSITIONS,
    }
    words = f"a tiny {kind} with a tokenizer of words, without a chat template of its own"
    return {**model, "path": None, "from_scratch": scratch}, StandIn("model.path", words, why)
