"""What a filter did: how many rows it got and kept, and why it left out the others."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from rlsp_cli.data.raw_trace import RawTrace
from rlsp_cli.errors import DataError


@dataclass(frozen=True)
class Reason:
    """How many rows were left out for one reason, and the place of the first."""

    rows: int
    first: str


@dataclass(frozen=True)
class Tally:
    """Rows before and after one filter, and the reasons for those that were left out."""

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
        parts = [f"{one.rows} {why} ({one.first})" for why, one in self.reasons.items()]
        return "; ".join(parts)

    def refuse_nothing(self) -> None:
        """DataError with the commonest reason if no row is left."""
        if self.after:
            return

        why, reason = max(self.reasons.items(), key=lambda item: item[1].rows)
        raise DataError(
            f"{self.name}: none of {self.before} rows is left; "
            f"{reason.rows} of them: {why}, first at {reason.first}"
        )


class Filtered(NamedTuple):
    """What a filter kept, in its order, and its tally."""

    rows: list[RawTrace]
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
    rows: list[RawTrace] = []
    reasons: dict[str, Reason] = {}
    for part in parts:
        rows += part.rows
        for why, reason in part.tally.reasons.items():
            # The first place is that of the first source which has the reason.
            known = reasons.get(why)
            reasons[why] = Reason(known.rows + reason.rows, known.first) if known else reason

    before = sum(part.tally.before for part in parts)
    return Filtered(rows, Tally(parts[0].tally.name, before, len(rows), reasons))
