"""Checkpoints: a model folder in the Hugging Face layout, and beside it what a stage needs to go on.

A checkpoint is written under another name and renamed when it is whole. The random numbers need no
saving: they are a function of the recipe's seed and the step (see `seed.py`). So is the position in
the traces; that in the prompts is saved, since `ppo.select` replaces some.
"""

import json
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import CONFIG_NAME, SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME

from rlsp_cli.engine import adapter
from rlsp_cli.runs.checkpoints import numbered
from rlsp_cli.terminal import print

_TRAINER = "trainer.pt"


@dataclass(frozen=True)
class Checkpoint:
    """A whole checkpoint: its folder, the steps done, and the trainer's state."""

    folder: Path
    step: int
    trainer: dict[str, Any]


def save_model(
    folder: Path,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    keep_adapter: bool = False,
) -> None:
    """Write model and tokenizer, loadable by `AutoModelForCausalLM`; replaces the folder.

    An adapter is added to the weights; with `keep_adapter` it is in `folder/adapter` too.
    """
    draft = _draft(folder)
    _write_model(draft, model, tokenizer)
    if keep_adapter:
        adapter.save_adapter(model, draft / "adapter")
    _publish(draft, folder)


def save_checkpoint(
    folder: Path,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    step: int,
    trainer: dict[str, Any],
) -> None:
    """Write a model and `trainer` (tensors and plain values); then remove what else lies beside it."""
    draft = _draft(folder)
    _write_model(draft, model, tokenizer)
    torch.save({"step": step, **trainer}, draft / _TRAINER)
    _publish(draft, folder)
    for other in (*folder.parent.glob("step-*"), *folder.parent.glob("draft-*")):
        if other != folder:
            shutil.rmtree(other)


def newest_checkpoint(checkpoints: Path) -> Checkpoint | None:
    """The whole checkpoint with the most steps, or None; broken ones are passed over, with a note on stderr."""
    for _, folder in sorted(numbered(checkpoints, "step-").items(), reverse=True):
        try:
            return _read(folder)
        except _BROKEN as error:
            reason = str(error).partition("\n")[0]
            print(
                f"note: {folder} is not whole, and passed over ({type(error).__name__}: {reason})",
                file=sys.stderr,
            )
    return None


_BROKEN = (OSError, RuntimeError, ValueError, KeyError, EOFError, UnpicklingError, SafetensorError)
"""What torch, safetensors and the file system raise where a file is missing or was cut short."""


def _read(folder: Path) -> Checkpoint:
    trainer = torch.load(folder / _TRAINER, map_location="cpu", weights_only=True)
    index = folder / SAFE_WEIGHTS_INDEX_NAME
    names = (
        set(json.loads(index.read_bytes())["weight_map"].values())
        if index.exists()
        else {SAFE_WEIGHTS_NAME}
    )
    for name in names:
        with safe_open(folder / name, "pt"):  # its header says how long it must be
            pass
    json.loads((folder / CONFIG_NAME).read_bytes())
    return Checkpoint(folder, trainer.pop("step"), trainer)


def _write_model(draft: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """All weights of a model in the Hugging Face layout, an adapter's added to them."""
    if adapter.is_adapted(model):
        adapter.save_merged(model, draft)
    else:
        model.save_pretrained(draft)
    tokenizer.save_pretrained(draft)


def _draft(folder: Path) -> Path:
    draft = folder.with_name(f"draft-{folder.name}")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    return draft


def _publish(draft: Path, folder: Path) -> None:
    """Rename; a folder that is replaced is moved aside first, so that it is never there in part."""
    for file in draft.glob("*.safetensors"):  # which are written for their owner alone
        shutil.copymode(draft / "config.json", file)
    for file in filter(Path.is_file, draft.rglob("*")):
        with file.open("rb") as written:
            os.fsync(written.fileno())  # before it takes the place of another
    aside = folder.with_name(f"draft-old-{folder.name}")
    shutil.rmtree(aside, ignore_errors=True)
    if folder.exists():
        folder.rename(aside)
    draft.rename(folder)
    shutil.rmtree(aside, ignore_errors=True)
