"""What every training stage is given: the recipe, the model, the files, and a way to be asked to stop."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from rlsp_cli.engine.stop import StopFlag
from rlsp_cli.engine.trackers import Trackers
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.runs.paths import StagePaths
from rlsp_cli.runs.stream import append_rows


@dataclass(frozen=True)
class Context:
    """The surroundings of a training stage."""

    recipe: Recipe
    paths: StagePaths
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    device: torch.device
    stop: StopFlag = field(default_factory=StopFlag)
    trackers: Trackers = field(default_factory=Trackers)

    def log(self, row: Mapping[str, Any]) -> None:
        """Append a row to metrics.jsonl, and send it to the trackers."""
        self.trackers.log(row)
        append_rows(self.paths.metrics, [row])
