"""Low-rank adapters (LoRA, arXiv 2106.09685) inside a model, by peft."""

import warnings
from pathlib import Path

import torch
from peft import LoraConfig
from peft.tuners.lora import LoraLayer
from torch import nn
from transformers import PreTrainedModel

from rlsp_cli.engine.seed import derive_seed
from rlsp_cli.errors import RecipeError
from rlsp_cli.recipe.lora import Lora


def add(model: PreTrainedModel, lora: Lora, name: str, seed: int) -> None:
    """Give the linear layers an adapter in float32, which changes nothing yet: B starts at 0.

    RecipeError when `lora.targets` names layers that the model does not have.
    """
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=[*lora.targets, *_new_heads(model)] if lora.targets else "all-linear",
        task_type="CAUSAL_LM",
    )
    try:
        with torch.random.fork_rng(), warnings.catch_warnings():
            # Several adapters in one model are what is wanted here.
            warnings.filterwarnings("ignore", "Already found a `peft_config`", UserWarning)
            torch.manual_seed(derive_seed(seed, "lora", name))
            model.add_adapter(config, name)
    except ValueError as error:
        found = ", ".join(sorted({path.rpartition(".")[2] for path in _linear_layers(model)}))
        raise RecipeError(
            f"lora.targets: {', '.join(lora.targets)}: no such layers; the linear ones are {found}"
        ) from error
    for weight in weights(model, name).values():
        weight.data = weight.data.float()


def is_adapted(model: PreTrainedModel) -> bool:
    """Whether `add` has given the model an adapter."""
    return any(isinstance(layer, LoraLayer) for layer in model.modules())


def weights(model: PreTrainedModel, name: str) -> dict[str, nn.Parameter]:
    """The parameters of one adapter, by their names in the model."""
    return {path: parameter for path, parameter in model.named_parameters() if f".{name}." in path}


def load(model: PreTrainedModel, name: str, state: dict[str, torch.Tensor]) -> None:
    """Take up the weights of one adapter."""
    with torch.no_grad():
        for path, parameter in weights(model, name).items():
            parameter.copy_(state[path])


def save_merged(model: PreTrainedModel, folder: Path) -> None:
    """Write the base with the policy's adapter added to its weights, which stay as they are in memory."""
    state = {
        path.replace(".base_layer.", "."): weight
        for path, weight in model.state_dict().items()
        if ".lora_" not in path
    }
    for path, layer in model.named_modules():
        if isinstance(layer, LoraLayer):
            base = layer.get_base_layer().weight
            state[f"{path}.weight"] = (base + layer.get_delta_weight("policy")).to(base.dtype)

    with torch.device("meta"):
        plain = type(model)(model.config).to(model.dtype)
    if model.can_generate():
        plain.generation_config = model.generation_config
    plain.save_pretrained(folder, state_dict=state)


def save_adapter(model: PreTrainedModel, folder: Path) -> None:
    """Write the policy's adapter alone, in peft's layout."""
    model.set_adapter("policy")
    model.save_pretrained(folder)


def _new_heads(model: PreTrainedModel) -> list[str]:
    """Layers that classify tokens, which are random before training: an adapter lets them learn."""
    return [name for name in ("score", "classifier") if hasattr(model, name)]


def _linear_layers(model: PreTrainedModel) -> list[str]:
    return [path for path, layer in model.named_modules() if isinstance(layer, nn.Linear)]
