"""A check of a recipe in action: what it means, how it went, and the likely cause of a failure."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

State = Literal["passed", "failed", "untested"]


@dataclass(frozen=True)
class Checked:
    """How a check went: what was found, and after a failure its likely cause and the next move."""

    check: str
    state: State
    found: str
    means: str
    cause: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


@dataclass(frozen=True)
class Check:
    """A check by its name; `means` says why it matters."""

    name: str
    means: str

    def passed(self, found: str) -> Checked:
        """It holds."""
        return Checked(self.name, "passed", found, self.means)

    def failed(self, found: str, cause: str) -> Checked:
        """It does not hold."""
        return Checked(self.name, "failed", found, self.means, cause)

    def untested(self, why: str) -> Checked:
        """It could not be tested, which is neither of the two."""
        return Checked(self.name, "untested", why, self.means)
