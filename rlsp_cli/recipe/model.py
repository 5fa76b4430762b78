"""The key `model`: the language model to train or evaluate."""

from typing import Literal

from pydantic import PositiveFloat, model_validator

from rlsp_cli.recipe.section import PositiveInt, Section


class FromScratch(Section):
    """A new model with random weights and a word-level tokenizer made from the training text."""

    model_type: str = "llama"
    """Architecture, by its name in transformers."""
    hidden_size: PositiveInt = 96
    """Width of the residual stream."""
    intermediate_size: PositiveInt = 384
    """Width of the feed-forward layers."""
    num_layers: PositiveInt = 3
    """Number of transformer blocks."""
    num_heads: PositiveInt = 4
    """Number of attention heads."""
    max_length: PositiveInt = 256
    """Longest sequence in tokens, prompt and response together."""
    init_std: PositiveFloat = 0.06
    """Standard deviation of initial weights; tiny models learn faster above the usual 0.02."""


class Model(Section):
    """The language model to train or evaluate: either `path` or `from_scratch`."""

    path: str | None = None
    """A folder, a `.gguf` file, or a Hugging Face hub id as `org/name` or `org/name@revision`."""
    from_scratch: FromScratch | None = None
    """Make a new small model instead of loading one."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Number format of the computation. `auto`: bfloat16 on a GPU, float32 on a CPU.

    Trained weights are float32 in any case."""
    attention: Literal[
        "auto",
        "eager",
        "sdpa",
        "flash_attention_2",
        "flash_attention_3",
        "flash_attention_4",
        "flex_attention",
    ] = "auto"
    """Attention implementation. `auto`: flash_attention_2 for `ppo.openrlhf.packing`, else sdpa."""
    chat_template: str = "auto"
    """`auto`: the tokenizer's own, if any; `none`: plain text; or a file, `./template.jinja`."""
    special_tokens: tuple[str, ...] = ()
    """Texts that are one token each, such as `<think>`; added to the tokenizer if missing."""

    @model_validator(mode="after")
    def _one_origin(self) -> "Model":
        if self.path is not None and self.from_scratch is not None:
            raise ValueError("give either model.path or model.from_scratch, not both")
        return self
