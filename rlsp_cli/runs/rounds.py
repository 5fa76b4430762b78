"""rounds.json and numbers.json: what the rounds of a run came to."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter

from rlsp_cli.runs.stream import read_json, write_json

VALUES = "values.jsonl"
"""The step values of a round's trees, beside its traces."""
_FILE = "rounds.json"


@dataclass(frozen=True)
class RoundNumbers:
    """What was sampled in a round, and what was kept of it.

    `responses` counts what was asked for, `right` those that the verifier scored 1, `solved` the
    problems with such a one. `distinct` is the mean number of different right solutions of a solved
    problem, `balance` the balance score. `rationalized` and `taught` count the right solutions that
    were given the answer, and those of the teacher. `new` counts this round's traces, `traces`
    those of all rounds so far. `tokens` is all that was sampled, to tune the settings too, and what
    the teacher read and wrote; `tried` are those settings and their scores. `values` counts the
    responses with step values, of which the next round's scorer is made.
    """

    temperature: float
    samples: int
    threshold: float | None
    problems: int
    responses: int
    right: int
    solved: int
    distinct: float
    balance: float
    rationalized: int = 0
    taught: int = 0
    new: int = 0
    traces: int = 0
    tokens: int = 0
    tried: Sequence[Mapping[str, Any]] = ()
    values: int = 0

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    def write(self, path: Path) -> None:
        """Write numbers.json."""
        write_json(path, {"schema": "rlsp.round/1", "data": self.to_json()})


@dataclass(frozen=True)
class RoundResult:
    """A round that is done: its name, the model it left, and how that does on held-out problems.

    `model` is relative to the run's folder where it lies within. `against` is the round that was
    chosen before, and `moved` the difference to it, as in a comparison of results.json; both are
    None for round 0. `numbers` are None for round 0, which samples nothing.
    """

    name: str
    model: str
    numbers: RoundNumbers | None = None
    against: str | None = None
    moved: Mapping[str, Any] | None = None

    @property
    def verdict(self) -> str | None:
        """How it compares with the round that was chosen before it."""
        return str(self.moved["verdict"]) if self.moved else None


@dataclass(frozen=True)
class RoundsResult:
    """All rounds that are done, and the name of the chosen one."""

    rounds: Sequence[RoundResult]
    chosen: str

    def model(self, root: Path) -> str:
        """The chosen round's model; `root` is the run's folder."""
        model = next(one.model for one in self.rounds if one.name == self.chosen)
        return str(root / model) if (root / model).exists() else model

    def write(self, root: Path) -> None:
        """Write rounds.json into a run's folder."""
        write_json(root / _FILE, {"schema": "rlsp.rounds/1", "data": asdict(self)})


def chosen_of(rounds: Sequence[RoundResult]) -> str:
    """The last round that is better on held-out problems than the one chosen before it.

    Without an interval above 0 a later round is no better, and the earlier one stays.
    """
    better = [one.name for one in rounds if one.verdict == "better"]
    return better[-1] if better else rounds[0].name


class _Rounds(BaseModel):
    data: RoundsResult


class _Numbers(BaseModel):
    data: RoundNumbers


_RESULT = TypeAdapter(RoundsResult)
_NUMBERS = TypeAdapter(RoundNumbers)


def read_rounds(root: Path) -> RoundsResult | None:
    """The rounds of a run; None if it has none yet. DataError if the file is damaged."""
    if not (root / _FILE).exists():
        return None
    return _RESULT.validate_python(read_json(root / _FILE, _Rounds)["data"])


def read_numbers(path: Path) -> RoundNumbers:
    """A numbers.json; DataError if it is damaged."""
    return _NUMBERS.validate_python(read_json(path, _Numbers)["data"])
