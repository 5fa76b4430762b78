"""What a plugin sees (`Sample`) and what scoring it gave (`Verdict`, `Score`, `SampleScore`)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple


@dataclass(frozen=True)
class Sample:
    """One response to one prompt.

    `num_tokens` counts response tokens; `truncated` says that the length limit ended it; `step` is the
    rollout step in training, None in evaluation; `group` holds the other responses to the same prompt.
    """

    prompt: str
    response: str
    reference: str | None = None
    id: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    num_tokens: int = 0
    truncated: bool = False
    step: int | None = None
    group: tuple["Sample", ...] = ()


class Verdict(NamedTuple):
    """A verifier's answer, for those that extract one: `answer` is None when the response gave none."""

    correct: bool
    answer: str | None


@dataclass(frozen=True)
class Score:
    """How one component ended for one sample; `value` is None unless `outcome` is "value"."""

    component: str
    outcome: Literal["value", "abstain", "error", "timeout"]
    value: float | None = None
    answer: str | None = None
    reason: str | None = None
    ms: float = 0.0


@dataclass(frozen=True)
class SampleScore:
    """All components of one sample, and their mixture; `reward` is None when a component is unscored."""

    correctness: Score
    exploration: tuple[Score, ...]
    reward: float | None
