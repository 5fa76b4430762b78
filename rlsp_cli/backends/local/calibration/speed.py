"""What a calibration is asked, and what it says."""

from dataclasses import dataclass

from rlsp_cli.backends.model_shape import ModelShape


@dataclass(frozen=True)
class Load:
    """A stage as far as it decides the speed: the model, and how much of it is done at once.

    Tokens are the means of one prompt and one response. `decode_batch` 0: nothing is sampled.
    """

    shape: ModelShape
    precision: str
    gpus: int
    lora_rank: int | None
    lora_targets: tuple[str, ...]
    gradient_checkpointing: bool
    prompt_tokens: int
    response_tokens: int
    micro_batch: int
    decode_batch: int = 0


@dataclass(frozen=True)
class Speed:
    """Seconds for each token of a forward pass (`forward`), and of one with its backward pass (`train`).

    `trunk` is without the output layer, as in a critic. A step of decoding takes `step` with one
    sequence, and `row` more for each further one. `adam` is for each weight that learns.
    """

    train: float
    forward: float
    train_trunk: float
    forward_trunk: float
    adam: float
    step: float
    row: float
    bfloat16: bool
