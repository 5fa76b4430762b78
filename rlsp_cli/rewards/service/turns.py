"""What the service asks about responses in turns: an engine that is elsewhere writes them."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from rlsp_cli.rewards.sample import Sample


class NextTurn(NamedTuple):
    """A response after a turn: what its client is told, and the sample if it has ended."""

    told: dict[str, Any]
    ended: Sample | None = None


class TurnTaking(Protocol):
    """Answers between the words of a model that is elsewhere."""

    def follow(self, body: Mapping[str, Any], step: int) -> NextTurn:
        """What follows the turn in a request; may be called from several threads at once.

        RequestError for a request that does not have one.
        """
