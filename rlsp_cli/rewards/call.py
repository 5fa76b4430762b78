"""What a worker is asked to do: run a plugin on a sample, or on all samples of a prompt."""

from dataclasses import dataclass
from typing import Any, NamedTuple

from rlsp_cli.recipe.steps import StepSettings
from rlsp_cli.rewards.sample import Sample


@dataclass(frozen=True)
class Use:
    """A plugin with its options, as a worker is told of it; `digest` is that of its source."""

    kind: str
    reference: str
    options: dict[str, Any]
    files: tuple[str, ...] = ()
    takes_group: bool = False
    digest: str = ""
    timeout_s: float | None = None
    steps: StepSettings | None = None
    """Of a step scorer: how a response is split, and what becomes of the scores."""

    def to_json(self) -> dict[str, Any]:
        """Plain data, as a worker reads it."""
        plain = {**vars(self), "files": list(self.files)}
        return {**plain, "steps": self.steps and self.steps.model_dump(mode="json")}

    @property
    def name(self) -> str:
        """The component's name in scores and metrics: the function's."""
        return self.reference.rpartition(":")[2]


class Call(NamedTuple):
    """A plugin and the sample to score, or all samples of a prompt when it takes a group.

    A step scorer may be given the texts of the `steps`; by default it splits the response.
    """

    use: Use
    samples: tuple[Sample, ...]
    steps: tuple[str, ...] | None = None
