"""Models that classify tokens, such as process reward models."""

from collections.abc import Sequence

import torch
from transformers import (
    AutoConfig,
    AutoModelForTokenClassification,
    PretrainedConfig,
    PreTrainedModel,
)

from rlsp_cli.engine.batch import pad
from rlsp_cli.engine.source import source_of, unloadable
from rlsp_cli.errors import NotReadyError

_NAME = "ForTokenClassification"
"""What the architecture of such a model is called, after the name of its body."""


def classifies_tokens(path: str) -> bool:
    """Whether the model of a folder or hub id is such a model; NotReadyError if it is none."""
    return _classifies(_config(path))


def refuse_other_classes(path: str, classes: Sequence[str]) -> None:
    """NotReadyError if the model of a folder or hub id has another number of classes than these."""
    config = _config(path)
    if _classifies(config) and config.num_labels != len(classes):
        raise NotReadyError(
            f"model {path!r} has {config.num_labels} classes of tokens, expected {len(classes)}: "
            f"{', '.join(classes)}; start from the language model that it was made of"
        )


def _config(path: str) -> PretrainedConfig:
    name, options = source_of(path)
    try:
        return AutoConfig.from_pretrained(name, **options)
    except Exception as error:  # transformers' own kinds, and those of a model's code
        raise unloadable(path, error) from error


def _classifies(config: PretrainedConfig) -> bool:
    return any(named.endswith(_NAME) for named in config.architectures or ())


def load_classifier(path: str, device: torch.device) -> PreTrainedModel:
    """The model with its own classes; NotReadyError when it cannot be loaded."""
    name, options = source_of(path)
    try:
        model = AutoModelForTokenClassification.from_pretrained(
            name, **options, dtype=torch.float32
        )
    except Exception as error:  # as in `load_model`
        raise unloadable(path, error) from error
    found: PreTrainedModel = model.to(device)
    return found


@torch.no_grad()
def class_probabilities(
    model: PreTrainedModel, sequences: Sequence[Sequence[int]], pad_id: int
) -> list[list[list[float]]]:
    """For each sequence and token, the probability of each class.

    Of one class alone, which is there or not, it is the logistic function of the logit.
    """
    tokens = pad(sequences, pad_id, model.device)
    lengths = torch.tensor([len(sequence) for sequence in sequences], device=model.device)
    mask = torch.arange(tokens.shape[1], device=model.device) < lengths[:, None]

    logits = model(tokens, attention_mask=mask.long()).logits.float()
    shares = logits.softmax(-1) if logits.shape[-1] > 1 else logits.sigmoid()
    rows = zip(shares.tolist(), sequences, strict=True)
    return [row[: len(sequence)] for row, sequence in rows]
