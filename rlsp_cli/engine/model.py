"""Language models and tokenizers: loaded from a folder or the hub, or made from scratch."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForTokenClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.modeling_layers import GradientCheckpointingLayer

from rlsp_cli.engine.ending import adopt_turn_end
from rlsp_cli.engine.source import first_line, source_of, unloadable
from rlsp_cli.engine.tokenizer import word_tokenizer
from rlsp_cli.errors import DataError, NotReadyError
from rlsp_cli.recipe.model import FromScratch

Head = Literal["words", "steps"]
"""What a model says at each token: the next word, or whether a step that ends there is right."""
STEP_CLASSES = ("wrong", "right")
"""The classes of a process reward model, in their order: a label of 1 means right, as in Axolotl."""


def pick_device(gpus: int) -> torch.device:
    """The GPU when the recipe asks for one, Apple's (`mps`) where there is no other; else the CPU."""
    if not gpus:
        return torch.device("cpu")
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    raise NotReadyError(
        f"cluster.gpus_per_node is {gpus}, but torch sees no GPU; set it to 0 to run on the CPU"
    )


def checkpoint_layers(model: PreTrainedModel) -> None:
    """In training mode, keep no activations inside of a layer: the backward pass computes them again."""
    # The name before transformers 5.20 or so, and the one since.
    enable = getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)
    enable({"use_reentrant": False})


@contextmanager
def layers_in_training(model: PreTrainedModel) -> Iterator[None]:
    """Training mode for the layers that `checkpoint_layers` is about, and not for what they consist of.

    transformers keeps no activations in that mode alone, but it also switches dropout on, and lets
    the layers write no cache, which sampling needs.
    """
    layers = [layer for layer in model.modules() if isinstance(layer, GradientCheckpointingLayer)]
    for layer in layers:
        layer.training = True
    try:
        yield
    finally:
        for layer in layers:
            layer.training = False


def load_model(
    path: str,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
    head: Head = "words",
) -> PreTrainedModel:
    """A causal language model, from a folder, a `.gguf` file or a hub id `org/name[@revision]`.

    With the head `steps` it is the body of one under a head of its own, random if there is none.
    """
    name, options = source_of(path)
    try:
        model = _auto(head).from_pretrained(name, **options, **_classes(head), dtype=dtype)
    except Exception as error:  # of transformers, safetensors, torch: each says in a type of its own that a file is cut
        raise unloadable(path, error) from error
    _forget_quantisation(model)
    return model.to(device)


def _auto(head: Head) -> Any:
    return AutoModelForCausalLM if head == "words" else AutoModelForTokenClassification


def _classes(head: Head) -> dict[str, dict[Any, Any]]:
    """What a model's configuration says of its classes."""
    if head == "words":
        return {}
    names = dict(enumerate(STEP_CLASSES))
    return {"id2label": names, "label2id": {name: number for number, name in names.items()}}


def _forget_quantisation(model: PreTrainedModel) -> None:
    """A GGUF file's weights are numbers of `dtype` once they are loaded, and may be saved as such."""
    if getattr(model, "hf_quantizer", None) is not None:
        model.hf_quantizer, model.is_quantized = None, False
        model.config.__dict__.pop("quantization_config", None)


def load_tokenizer(
    path: str, chat_template: str = "auto", *, local_only: bool = False
) -> PreTrainedTokenizerBase:
    """The tokenizer beside a model, with the recipe's `model.chat_template`, whose end of a turn is its end token.

    The end token that it came with pads if no other does. With `local_only` the hub is not asked.
    """
    name, options = source_of(path)
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, **options, local_files_only=local_only)
    except Exception as error:
        raise NotReadyError(
            f"model {path!r} has no usable tokenizer: {first_line(error)}"
        ) from error
    if tokenizer.eos_token_id is None:
        raise NotReadyError(
            f"the tokenizer of model {path!r} has no end token; responses could never end"
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    set_template(tokenizer, chat_template)
    adopt_turn_end(tokenizer)
    return tokenizer


def set_template(tokenizer: PreTrainedTokenizerBase, chat_template: str) -> None:
    """Give it the recipe's `model.chat_template`."""
    if chat_template != "auto":
        tokenizer.chat_template = (
            None if chat_template == "none" else _read_template(Path(chat_template))
        )


def add_special_tokens(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, tokens: Sequence[str]
) -> None:
    """Make tokens known as one piece each; new ones get new rows of the embedding."""
    if tokenizer.add_tokens(list(tokens), special_tokens=False):
        model.resize_token_embeddings(
            max(len(tokenizer), model.get_input_embeddings().num_embeddings)
        )
        adopt_turn_end(tokenizer)


def _read_template(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise NotReadyError(
            f"model.chat_template: {path}: {error.strerror}; expected auto, none or a Jinja file"
        ) from error


def new_model(
    spec: FromScratch, texts: Iterable[str], seed: int, head: Head = "words"
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A model with random weights on the CPU, and a word-level tokenizer that knows every word of `texts`."""
    tokenizer = word_tokenizer(texts, spec.max_length)
    config = AutoConfig.for_model(
        spec.model_type,
        vocab_size=len(tokenizer),
        hidden_size=spec.hidden_size,
        intermediate_size=spec.intermediate_size,
        num_hidden_layers=spec.num_layers,
        num_attention_heads=spec.num_heads,
        num_key_value_heads=spec.num_heads,
        max_position_embeddings=spec.max_length,
        initializer_range=spec.init_std,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
        **_classes(head),
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return _auto(head).from_config(config), tokenizer


def refuse_overflow(
    model: PreTrainedModel, prompts: Iterable[Sequence[int]], max_new_tokens: int
) -> None:
    """DataError when a prompt and its response could outgrow the model's positions: garbage or a crash would follow."""
    limit = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    longest = max(map(len, prompts))
    if limit is not None and longest + max_new_tokens > limit:
        raise DataError(
            f"prompt ({longest} tokens) and max_new_tokens {max_new_tokens} do not fit the model's {limit} positions; "
            "lower max_new_tokens or leave out the longest prompts"
        )


class ValueHead(nn.Linear):
    """(..., D) hidden states -> (...) values V(s) in float32, which start at 0."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__(model.config.get_text_config().hidden_size, 1, device=model.device)
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """Values of states of any number format."""
        with torch.autocast(states.device.type, enabled=False):
            return super().forward(states.float()).squeeze(-1)
