"""How large a model is, from its configuration, without loading it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlsp_cli.errors import NotReadyError
from rlsp_cli.hub_cache import cached_file
from rlsp_cli.recipe.model import FromScratch, Model

_TABLE = Path(__file__).parent / "models.json"
_GATED = ("llama", "mistral", "qwen2", "qwen3")
"""Architectures with grouped attention and a gated feed-forward part, without experts."""
_BYTES_16_BITS = 2


@dataclass(frozen=True)
class ModelShape:
    """Widths and counts of a dense decoder; `tied` when the output layer is the embedding."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_size: int
    intermediate: int
    vocabulary: int
    tied: bool

    @property
    def matrices(self) -> dict[str, tuple[int, int]]:
        """(inputs, outputs) of the linear layers of one block, by their usual names."""
        queries, keys = self.heads * self.head_size, self.kv_heads * self.head_size
        return {
            "q_proj": (self.hidden, queries),
            "k_proj": (self.hidden, keys),
            "v_proj": (self.hidden, keys),
            "o_proj": (queries, self.hidden),
            "gate_proj": (self.hidden, self.intermediate),
            "up_proj": (self.hidden, self.intermediate),
            "down_proj": (self.intermediate, self.hidden),
        }

    @property
    def embedding(self) -> int:
        """Weights of the embedding, and of the output layer where that is another matrix."""
        return self.vocabulary * self.hidden

    @property
    def trunk(self) -> int:
        """Weights without the output layer, as in a critic; without biases, which are below 0.1%."""
        matrices = sum(inputs * outputs for inputs, outputs in self.matrices.values())
        norms = 2 * self.hidden  # before attention, and before the feed-forward part
        last_norm = self.hidden
        return self.layers * (matrices + norms) + last_norm + self.embedding

    @property
    def parameters(self) -> int:
        """Weights of the policy."""
        return self.trunk + (0 if self.tied else self.embedding)

    @property
    def kv_bytes(self) -> int:
        """Bytes of keys and values for one token, in 16 bits."""
        return 2 * _BYTES_16_BITS * self.layers * self.kv_heads * self.head_size


def model_shape(model: Model) -> ModelShape | None:
    """The shape of a recipe's model; None without its configuration, or if it is no dense decoder.

    The hub is not asked: a folder, the hub's cache and the table `models.json` are looked at. A
    model from scratch counts without its vocabulary, which depends on the data.
    """
    if model.from_scratch is not None:
        return _of_scratch(model.from_scratch)
    config = model_config(model)
    return shape_of(config) if config else None


def model_config(model: Model) -> dict[str, Any] | None:
    """`config.json` of a model with a path: its folder's, the hub cache's, or the table's."""
    return _config(model.path) if model.path else None


def shape_of(config: Mapping[str, Any]) -> ModelShape | None:
    """The shape that a `config.json` describes; None when it is of another kind."""
    if config.get("model_type") not in _GATED:
        return None
    heads = config["num_attention_heads"]
    return ModelShape(
        hidden=config["hidden_size"],
        layers=config["num_hidden_layers"],
        heads=heads,
        kv_heads=config.get("num_key_value_heads") or heads,
        head_size=config.get("head_dim") or config["hidden_size"] // heads,
        intermediate=config["intermediate_size"],
        vocabulary=config["vocab_size"],
        tied=config.get("tie_word_embeddings", False),
    )


def _of_scratch(spec: FromScratch) -> ModelShape | None:
    return shape_of(
        {
            "model_type": spec.model_type,
            "hidden_size": spec.hidden_size,
            "intermediate_size": spec.intermediate_size,
            "num_hidden_layers": spec.num_layers,
            "num_attention_heads": spec.num_heads,
            "tie_word_embeddings": True,
            "vocab_size": 0,
        }
    )


def _config(path: str) -> dict[str, Any] | None:
    """The configuration of a folder, of a model in the hub's cache, or of the table."""
    if (Path(path) / "config.json").is_file():
        return _read(Path(path) / "config.json")

    # The cache is asked for hub ids only: a folder without a configuration is no hub id.
    cached = None if Path(path).is_dir() else cached_file(path, "config.json")
    if cached is not None:
        return _read(cached)

    name = path.partition("@")[0]
    known = json.loads(_TABLE.read_text(encoding="utf-8"))["models"]
    return next((entry for entry in known if name in entry["names"]), None)


def _read(file: Path) -> dict[str, Any]:
    """The JSON object in a file; NotReadyError when there is none."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise NotReadyError(f"{file}: cannot be read: {error}; load the model anew") from error
    if not isinstance(found, dict):
        raise NotReadyError(f"{file}: not a model's configuration; expected a JSON object")
    return found
