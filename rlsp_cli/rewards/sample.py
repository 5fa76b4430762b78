"""What a plugin sees (`Sample`) and what scoring it gave (`Verdict`, `Score`, `SampleScore`)."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, NamedTuple

Outcome = Literal["value", "abstain", "error", "timeout"]


@dataclass(frozen=True)
class Sample:
    """One response to one prompt.

    `num_tokens` counts response tokens, `max_tokens` is their limit, None when nobody knows;
    `truncated` says that the limit ended the response; `step` is the rollout step in training, None
    elsewhere. `correct` and `answer` are the verifier's, for exploration rewards, which are scored
    after it; `correct` is None when it gave no value.
    """

    prompt: str
    response: str
    reference: str | None = None
    id: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    num_tokens: int | None = None
    max_tokens: int | None = None
    truncated: bool = False
    step: int | None = None
    correct: float | None = None
    answer: str | None = None

    @property
    def group(self) -> tuple[str, str]:
        """Samples that agree in this are responses to the same prompt."""
        return self.id, self.prompt

    def length(self) -> int:
        """`num_tokens`; ValueError when nobody counted, because a guess would be a wrong reward."""
        if self.num_tokens is None:
            raise ValueError(
                "nobody counted this response's tokens; name a tokenizer, or give num_tokens"
            )
        return self.num_tokens


def is_right(correct: float | None) -> bool:
    """Whether a verifier's value counts as right where yes or no is needed: partial credit does above one half."""
    return correct is not None and correct > 0.5


class Verdict(NamedTuple):
    """A verifier's answer, for those that extract one: `correct` is a bool, or a share of 1 for partial credit."""

    correct: float
    answer: str | None


class CheckedVerdict(NamedTuple):
    """A verifier's answer where it checks several things of a response: under each rule's name, which of them hold."""

    correct: float
    answer: str | None
    checks: Mapping[str, Sequence[bool]]


@dataclass(frozen=True)
class Score:
    """How one component ended for one sample; `value` is None unless `outcome` is "value"."""

    component: str
    outcome: Outcome
    value: float | None = None
    answer: str | None = None
    reason: str | None = None
    ms: float = 0.0
    checks: Mapping[str, Sequence[bool]] | None = None

    def to_row(self) -> dict[str, Any]:
        """Plain data for a file; `checks` where there are some."""
        row = asdict(self)
        return row if self.checks else {key: value for key, value in row.items() if key != "checks"}

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> "Score":
        """The score in a row of a file, which needs no more than `outcome` and `value`."""
        known = {name: row[name] for name in cls.__dataclass_fields__ if name in row}
        return cls(**{"component": "", **known})

    @property
    def failed(self) -> bool:
        """Whether the plugin broke; an abstention is its own choice."""
        return self.outcome in ("error", "timeout")


@dataclass(frozen=True)
class SampleScore:
    """All components of one sample, and their mixture.

    `streams` is what is mixed: correctness and weighted exploration. It and `reward` are None when
    one is unscored.
    """

    correctness: Score
    exploration: tuple[Score, ...]
    reward: float | None
    streams: tuple[float, float] | None = None

    @property
    def components(self) -> tuple[Score, ...]:
        """Correctness, then the exploration rewards in the recipe's order."""
        return (self.correctness, *self.exploration)
