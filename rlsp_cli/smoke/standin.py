"""What stands in for a part of a recipe that `rlsp smoke` cannot use, and why."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class StandIn:
    """At a dotted key: what is used instead of what the recipe says, and why."""

    key: str
    instead: str
    why: str

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)
