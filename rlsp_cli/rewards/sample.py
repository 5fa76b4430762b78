"""A `Sample`, as plugins see it, and its scores: `Verdict`, `Score`, `SampleScore`."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, NamedTuple

from rlsp_cli.rewards.turns import Turns

Outcome = Literal["value", "abstain", "error", "timeout"]


@dataclass(frozen=True)
class Sample:
    """One response to one prompt.

    `response` is what the model wrote, and `turns` has what came from elsewhere between its words;
    None where nothing could. The numbers of tokens are of the model's own.

    The first `start` characters of `response` were given to the model, which went on from there; the
    numbers of tokens leave them out.

    `num_tokens` counts the response's tokens and `max_tokens` is their limit, None if unknown;
    `truncated` is True when the limit ended the response; `step` is the rollout step in training,
    None elsewhere. `correct` and `answer` are the verifier's, for exploration rewards, which come
    after it, and `reward` is the mixture, for selectors, which come last; `correct` and `reward`
    are None when there is no value.
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
    reward: float | None = None
    turns: Turns | None = None
    start: int = 0

    @property
    def group(self) -> tuple[str, str]:
        """A key that samples of one prompt share, and of one start of the response."""
        return self.id, self.prompt + self.response[: self.start]

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Sample":
        """From plain data, as `dataclasses.asdict` makes it."""
        turns = data.get("turns")
        return cls(**{**data, "turns": turns and Turns.from_json(turns)})

    def length(self) -> int:
        """`num_tokens`; ValueError when it is unknown, since a guess would be a wrong reward."""
        if self.num_tokens is None:
            raise ValueError("unknown number of tokens; name a tokenizer, or give num_tokens")
        return self.num_tokens


def is_right(correct: float | None) -> bool:
    """Whether a value counts as right where only yes or no will do: above one half."""
    return correct is not None and correct > 0.5


class Verdict(NamedTuple):
    """A verifier's result with the answer that it found; `correct` is from 0 to 1."""

    correct: float
    answer: str | None


class CheckedVerdict(NamedTuple):
    """A `Verdict` on several instructions: `checks` has, by rule, which of them are kept."""

    correct: float
    answer: str | None
    checks: Mapping[str, Sequence[bool]]


class StepScore(NamedTuple):
    """A step of a response, as its first and its end character, and how it was scored.

    `value` is the score after the recipe's refinements; both are None if the scorer abstained.
    """

    start: int
    end: int
    score: float | None
    value: float | None


@dataclass(frozen=True)
class Score:
    """How one component ended for one sample; `value` is None unless `outcome` is "value".

    `steps` are those of a step scorer, whose value is their aggregate. `tokens` counts what other
    models read and wrote for it.
    """

    component: str
    outcome: Outcome
    value: float | None = None
    answer: str | None = None
    reason: str | None = None
    ms: float = 0.0
    checks: Mapping[str, Sequence[bool]] | None = None
    steps: Sequence[StepScore] | None = None
    tokens: int = 0

    def to_row(self) -> dict[str, Any]:
        """Plain data for a file, with what only some plugins have where it is there."""
        row = asdict(self)
        for key in ("checks", "steps", "tokens"):
            if not row[key]:
                del row[key]
        return row

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> "Score":
        """The score in a row of a file, which has at least `outcome` and `value`."""
        known = {name: row[name] for name in cls.__dataclass_fields__ if name in row}
        if known.get("steps"):
            known["steps"] = [StepScore(*step) for step in known["steps"]]
        return cls(**{"component": "", **known})

    @property
    def failed(self) -> bool:
        """Whether the plugin broke; an abstention is no failure."""
        return self.outcome in ("error", "timeout")


@dataclass(frozen=True)
class SampleScore:
    """All components of one sample, and their mixture.

    `streams` are correctness and the weighted sum of exploration, from which `reward` is mixed.
    Both are None when a component is unscored.
    """

    correctness: Score
    exploration: tuple[Score, ...]
    reward: float | None
    streams: tuple[float, float] | None = None

    @property
    def components(self) -> tuple[Score, ...]:
        """Correctness, then the exploration rewards in the recipe's order."""
        return (self.correctness, *self.exploration)
