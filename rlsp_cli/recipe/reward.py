"""The key `reward`: how a response is scored."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, PositiveFloat, model_validator

from rlsp_cli.recipe.plugin_use import ExplorationUse, PluginUse
from rlsp_cli.recipe.schedule import Scheduled, within
from rlsp_cli.recipe.section import Fraction, PositiveInt, Section


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else [value]


class Reward(Section):
    """How a response is scored: correctness and exploration apart, then mixed by alpha."""

    # The mixture.
    alpha: Annotated[Scheduled, AfterValidator(within(0, 1))] = 0.8
    """Weight of correctness, against exploration; a number, or a schedule over rollout steps."""
    combine: Literal[
        "rlsp",
        "released_code",
        "gated_correct",
        "gated_wrong",
        "rm_shaping",
        "ensemble",
        "process_verified",
        "process_strict",
    ] = "rlsp"
    """`rlsp`: alpha*c + (1-alpha)*e (the paper's Eq. 1); docs/rewards.md has the others."""
    correctness: PluginUse = PluginUse(use="math_verify")
    """The outcome verifier, for training and the bench `heldout`; other benches have their own."""
    unanswered: float | None = None
    """Correctness, in the mixture, of a wrong response without an answer; by default 0, with
    `released_code` -0.5."""
    exploration: Annotated[tuple[ExplorationUse, ...], BeforeValidator(_as_list)] = ()
    """One exploration reward or a list; their weighted sum is the exploration signal."""

    # Limits of scores and of their processes.
    clip: PositiveFloat = 10.0
    """The mixed reward is clipped to [-clip, clip]."""
    timeout_s: PositiveFloat = 5.0
    """Seconds for one call of a plugin, after which its process is killed."""
    workers: PositiveInt = 2
    """Processes that score samples."""
    memory_gb: PositiveFloat = 2.0
    """Most address space of one scoring process, in gigabytes."""
    failure_limit: Fraction = 0.5
    """Stop the run (exit code 7) if a larger share of a step's responses cannot be scored."""

    # Files.
    cache: str | None = None
    """SQLite file of verdicts, so that no response is judged twice; for slow verifiers."""
    lexicon: str | None = None
    """YAML file or folder with the words of behaviours to count, instead of the shipped ones."""

    @property
    def is_linear(self) -> bool:
        """Whether the mixture is alpha times correctness plus 1 - alpha times exploration."""
        return self.combine in ("rlsp", "process_verified")

    @property
    def is_dense(self) -> bool:
        """Whether some steps are paid where they end."""
        return any(use.steps and use.steps.dense for use in self.exploration)

    @model_validator(mode="after")
    def _mixtures_have_what_they_mix(self) -> "Reward":
        scores_steps = any(use.steps for use in self.exploration)
        if self.combine.startswith("process_") and not scores_steps:
            raise ValueError(
                f"combine: {self.combine} needs a step scorer: an exploration reward with steps"
            )
        if self.is_dense and not self.is_linear:
            raise ValueError(
                f"steps.dense pays each step by itself, which combine: {self.combine} cannot; "
                "set combine: rlsp"
            )
        return self

    @model_validator(mode="after")
    def _components_have_names_of_their_own(self) -> "Reward":
        # Of file.py:function only the function is in the names of metrics.
        names = [use.use.rpartition(":")[2] for use in (self.correctness, *self.exploration)]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(
                f"{twice!r} is named twice, and metrics go by name; use a copy of another name"
            )
        return self
