"""Answer a repeated request as before, and count it once: clients repeat when a reply is lost."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

_KNOWN = 1 << 16
"""Replies that are kept: far more than the requests of one training step."""


class Once:
    """Replies by the number that a client gave its request. Belongs to one event loop."""

    def __init__(self) -> None:
        self._known: dict[int, Any] = {}
        self._under_way: dict[int, asyncio.Future[Any]] = {}

    def know(self, number: int, reply: Any) -> None:
        """Keep the reply to a request, and forget the oldest when there are too many."""
        self._known[number] = reply
        while len(self._known) > _KNOWN:
            del self._known[next(iter(self._known))]

    async def reply(self, number: int | None, make: Callable[[], Awaitable[Any]]) -> Any:
        """The reply that is known or under way, else that of `make`; a failure is not kept."""
        if number is None:
            return await make()
        if number in self._known:
            return self._known[number]
        if number not in self._under_way:
            self._under_way[number] = asyncio.ensure_future(self._make(number, make))

        # Shielded: the client that hangs up is often the one that asks again.
        return await asyncio.shield(self._under_way[number])

    async def _make(self, number: int, make: Callable[[], Awaitable[Any]]) -> Any:
        try:
            reply = await make()
        finally:
            del self._under_way[number]
        self.know(number, reply)
        return reply
