"""What every stage is given: the recipe, the model, the files, and a way to be asked to stop."""

import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FrameType

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from rlsp_cli.errors import StoppedError
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.runs.paths import StagePaths


class StopFlag:
    """Remembers SIGINT or SIGTERM, so that a stage can end the step, save and leave."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def install(self) -> "StopFlag":
        """Listen to both signals; only the main thread can."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, self._remember)
            signal.signal(signal.SIGTERM, self._remember)
        return self

    def _remember(self, number: int, _frame: FrameType | None) -> None:
        self.signal = number

    def leave_if_set(self, save: Callable[[], None]) -> None:
        """Save and raise StoppedError when a signal came."""
        if self.signal is not None:
            save()
            raise StoppedError("stopped after a checkpoint")


@dataclass(frozen=True)
class Context:
    """The surroundings of a training stage."""

    recipe: Recipe
    paths: StagePaths
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    device: torch.device
    stop: StopFlag = field(default_factory=StopFlag)
