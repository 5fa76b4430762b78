"""What a filter did to the rows: how many came and stayed, and why the others went."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from rlsp_cli.data.demonstration import Demonstration
from rlsp_cli.errors import DataError


@dataclass(frozen=True)
class Reason:
    """How many rows went for one reason, and the place of the first."""

    rows: int
    first: str


@dataclass(frozen=True)
class Tally:
    """Rows before and after one filter, and the reasons of those that went."""

    name: str
    before: int
    after: int
    reasons: dict[str, Reason]

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    @property
    def reasons_text(self) -> str:
        """The reasons on one line."""
        return "; ".join(
            f"{reason.rows} {why} ({reason.first})" for why, reason in self.reasons.items()
        )

    def refuse_nothing(self) -> None:
        """DataError when no row is left, with the commonest reason."""
        if self.after:
            return
        why, reason = max(self.reasons.items(), key=lambda item: item[1].rows)
        raise DataError(
            f"{self.name}: none of {self.before} rows is left; {reason.rows} of them: {why}, first at {reason.first}"
        )


class Filtered(NamedTuple):
    """What a filter kept, in its order, and its tally."""

    rows: list[Demonstration]
    tally: Tally


def tally(name: str, before: int, after: int, faults: Iterable[tuple[str, str]]) -> Tally:
    """A tally from (reason, place) pairs."""
    reasons: dict[str, Reason] = {}
    for why, place in faults:
        known = reasons.get(why)
        reasons[why] = Reason(known.rows + 1, known.first) if known else Reason(1, place)
    return Tally(name, before, after, reasons)


def joined(parts: Sequence[Filtered]) -> Filtered:
    """The rows of several sources as those of one."""
    rows: list[Demonstration] = []
    reasons: dict[str, Reason] = {}
    for part in parts:
        rows += part.rows
        for why, reason in part.tally.reasons.items():
            known = reasons.get(why)
            reasons[why] = Reason(known.rows + reason.rows, known.first) if known else reason

    before = sum(part.tally.before for part in parts)
    return Filtered(rows, Tally(parts[0].tally.name, before, len(rows), reasons))
