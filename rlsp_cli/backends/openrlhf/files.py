"""The files of a PPO stage that OpenRLHF runs."""

from dataclasses import dataclass
from pathlib import Path

from rlsp_cli.runs.paths import StagePaths

BRIDGE, AGENT, HOOK = "rlsp_reward.py", "rlsp_agent.py", "rlsp_hook.py"
STOP_FILE = "stop"
SHIPPED = (
    BRIDGE,
    AGENT,
    HOOK,
    "rlsp_trainer.py",
    "rlsp_prompts.py",
    "rlsp_advantages.py",
    "rlsp_dense.py",
)
"""Every machine's working directory. Without data: Ray takes no more than 100 MiB."""


@dataclass(frozen=True)
class OpenRlhfFiles:
    """Names inside the stage's folder, which all machines must see."""

    stage: StagePaths

    @property
    def prompts(self) -> Path:
        """Rendered prompts, each once; written by the job's setup."""
        return self.stage.root / "prompts.jsonl"

    def problems(self) -> int:
        """Prompts that were written: those longer than `ppo.max_prompt_tokens` were left out."""
        with self.prompts.open("rb") as stream:
            return sum(1 for _ in stream)

    @property
    def heldout(self) -> Path:
        """Rendered problems on which the policy is measured while it trains."""
        return self.stage.root / "heldout.jsonl"

    @property
    def replies(self) -> Path:
        """What the reward service replied for steps that are not over."""
        return self.stage.root / "replies.jsonl"

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
    def exports(self) -> Path:
        """The policy after some steps, `step-NNNNNN`, as OpenRLHF saves it."""
        return self.stage.root / "output" / "exports"

    @property
    def tensorboard(self) -> Path:
        """Event files."""
        return self.stage.root / "output" / "tensorboard"
