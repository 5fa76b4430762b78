"""Checkpoints: a model folder in the Hugging Face layout, and beside it what a stage needs to go on.

A checkpoint is written under another name and renamed when it is whole. The random numbers need no saving: they
are a function of the recipe's seed and the step (see `seed.py`), and so is the position in the data.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

_TRAINER = "trainer.pt"


@dataclass(frozen=True)
class Checkpoint:
    """A whole checkpoint: its folder, the steps done, and the trainer's state."""

    folder: Path
    step: int
    trainer: dict[str, Any]


def save_model(folder: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Write model and tokenizer, loadable by `AutoModelForCausalLM`; replaces the folder."""
    draft = _draft(folder)
    model.save_pretrained(draft)
    tokenizer.save_pretrained(draft)
    _publish(draft, folder)


def save_checkpoint(
    folder: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, step: int, trainer: dict[str, Any]
) -> None:
    """Write a model and `trainer` (tensors and plain values); then remove the older checkpoints beside it."""
    draft = _draft(folder)
    model.save_pretrained(draft)
    tokenizer.save_pretrained(draft)
    torch.save({"step": step, **trainer}, draft / _TRAINER)
    _publish(draft, folder)
    for other in folder.parent.glob("step-*"):
        if other != folder:
            shutil.rmtree(other)


def newest_checkpoint(checkpoints: Path) -> Checkpoint | None:
    """The checkpoint with the most steps, or None."""
    folders = sorted(checkpoints.glob("step-*"))
    if not folders:
        return None
    trainer = torch.load(folders[-1] / _TRAINER, map_location="cpu", weights_only=True)
    return Checkpoint(folders[-1], trainer.pop("step"), trainer)


def _draft(folder: Path) -> Path:
    draft = folder.with_name(f"draft-{folder.name}")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    return draft


def _publish(draft: Path, folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
    draft.rename(folder)
