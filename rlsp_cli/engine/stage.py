"""What every training stage is given: the recipe, the model, the files, and a way to be asked to stop."""

from dataclasses import dataclass, field

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from rlsp_cli.engine.stop import StopFlag
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.runs.paths import StagePaths


@dataclass(frozen=True)
class Context:
    """The surroundings of a training stage."""

    recipe: Recipe
    paths: StagePaths
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    device: torch.device
    stop: StopFlag = field(default_factory=StopFlag)
