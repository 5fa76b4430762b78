"""A response to label: its sample, with the verifier's verdict, and its steps."""

from collections.abc import Callable
from dataclasses import dataclass

from rlsp_cli.rewards.sample import Sample, is_right
from rlsp_cli.rewards.steps import Step

Split = Callable[[str], list[Step]]
"""From a response to its steps."""


@dataclass(frozen=True)
class Solution:
    """A response split into steps; `sample.correct` is the verdict, None if there is none.

    `place` says where it was read.
    """

    place: str
    sample: Sample
    steps: tuple[Step, ...]

    @property
    def is_right(self) -> bool:
        """Whether the verifier found it right."""
        return is_right(self.sample.correct)

    def until(self, count: int) -> str:
        """The response up to its step `count`, with the line ends that come before the next one.

        Spaces before the next step are left to the model, since tokens of words begin with them.
        """
        if not count:
            return ""
        end = self.steps[count - 1].end
        if count == len(self.steps):
            return self.sample.response[:end]

        between = self.sample.response[end : self.steps[count].start]
        line_ends = between[: between.rfind("\n") + 1]
        return self.sample.response[:end] + (line_ends or between.rstrip())
