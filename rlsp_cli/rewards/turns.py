"""The turns of a response: what the model wrote, and what came from elsewhere between its words."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

MODEL = "model"
"""Who wrote the model's own turns; the others have the name of the continuation."""

TurnsOutcome = Literal["whole", "length", "turns", "overflow", "flood", "error", "timeout"]
"""How the turns of a response ended.

`whole`: the continuation had nothing more to say. `length`: the limit of tokens ended the model's
turn. Cut short: `turns`, it would have gone on after the last turn that is allowed; `overflow`, its
text left no room for an answer; `flood`, its text was too long. Failed: `error`, `timeout`.
"""


class Closing(str):
    """A text with which a continuation ends the response.

    It is kept in the turns, for verifiers and readers, and the model never reads it.
    """

    __slots__ = ()


@dataclass(frozen=True)
class Turn:
    """A part of a response, and who wrote it: `model`, or the name of a continuation."""

    by: str
    text: str


@dataclass(frozen=True)
class Turns:
    """A response in turns; `foreign_tokens` are those that the model did not write.

    `other_tokens` are what other models read and wrote for the texts from elsewhere, such as a critic.
    `reason` says in words why a response was cut short or has failed.
    """

    said: tuple[Turn, ...] = ()
    foreign_tokens: int = 0
    outcome: TurnsOutcome = "whole"
    reason: str | None = None
    other_tokens: int = 0

    @property
    def failed(self) -> bool:
        """Whether the continuation broke, so that the response says nothing of the model."""
        return self.outcome in ("error", "timeout")

    @property
    def own(self) -> list[str]:
        """The texts that the model wrote."""
        return [turn.text for turn in self.said if turn.by == MODEL]

    @property
    def foreign(self) -> list[str]:
        """The texts that came from elsewhere."""
        return [turn.text for turn in self.said if turn.by != MODEL]

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Turns":
        """From plain data, as `dataclasses.asdict` makes it."""
        return cls(**{**data, "said": tuple(Turn(**turn) for turn in data["said"])})
