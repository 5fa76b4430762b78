"""The files of an SFT stage that Axolotl runs."""

from dataclasses import dataclass
from pathlib import Path

from rlsp_cli.runs.paths import StagePaths


@dataclass(frozen=True)
class AxolotlFiles:
    """Names inside the stage's folder; the job's setup writes the first four."""

    stage: StagePaths

    @property
    def train(self) -> Path:
        """Prompts and responses as text, the prompts masked out."""
        return self.stage.root / "train.jsonl"

    @property
    def val(self) -> Path:
        """Those that are kept out of training."""
        return self.stage.root / "val.jsonl"

    @property
    def tokenizer(self) -> Path:
        """The tokenizer with the recipe's chat template and special tokens."""
        return self.stage.root / "tokenizer"

    @property
    def base(self) -> Path:
        """The model that training starts from, when it is a new one."""
        return self.stage.root / "base"

    @property
    def config(self) -> Path:
        """What Axolotl reads."""
        return self.stage.root / "axolotl.yaml"

    @property
    def deepspeed(self) -> Path:
        """DeepSpeed's configuration, for ZeRO."""
        return self.stage.root / "deepspeed.json"

    @property
    def prepared(self) -> Path:
        """Axolotl's cache of tokenised rows."""
        return self.stage.root / "prepared"

    @property
    def output(self) -> Path:
        """Where Axolotl saves; its `checkpoint-N` folders are what a stage goes on from."""
        return self.stage.root / "output"
