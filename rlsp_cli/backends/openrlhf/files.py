"""The files of a PPO stage that OpenRLHF runs."""

from dataclasses import dataclass
from pathlib import Path

from rlsp_cli.runs.paths import StagePaths

PROMPTS, HELDOUT, BRIDGE, HOOK = "prompts.jsonl", "heldout.jsonl", "rlsp_reward.py", "rlsp_hook.py"
STOP_FILE = "stop"
SHIPPED = (PROMPTS, HELDOUT, BRIDGE, HOOK)
"""What every machine of the cluster gets as its working directory; commands name these files without a folder."""


@dataclass(frozen=True)
class StageFiles:
    """Names inside the stage's folder, which all machines must see: models and checkpoints lie there."""

    stage: StagePaths

    @property
    def prompts(self) -> Path:
        """Rendered prompts, in whole rollouts; written by the job's setup."""
        return self.stage.root / PROMPTS

    def rollouts(self, size: int) -> int:
        """Rollouts of `size` prompts that were written."""
        with self.prompts.open("rb") as stream:
            return sum(1 for _ in stream) // size

    @property
    def heldout(self) -> Path:
        """Rendered problems on which the policy is measured while it trains."""
        return self.stage.root / HELDOUT

    @property
    def base(self) -> Path:
        """The model that training starts from, when it is a new one."""
        return self.stage.root / "base"

    @property
    def checkpoints(self) -> Path:
        """OpenRLHF's checkpoints: `_actor` and `_critic`, each with folders `global_stepN`."""
        return self.stage.root / "output" / "checkpoints"

    @property
    def model(self) -> Path:
        """The trained model as OpenRLHF saves it."""
        return self.stage.root / "output" / "model"

    @property
    def tensorboard(self) -> Path:
        """Event files."""
        return self.stage.root / "output" / "tensorboard"
