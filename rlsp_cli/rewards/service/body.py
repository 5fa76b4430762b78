"""Read a request: JSON of bounded size and depth, within a bounded time."""

import asyncio
import ctypes
import json
import sys
from contextlib import suppress
from typing import Any

from starlette.requests import Request

from rlsp_cli.rewards.service.gather import BusyError
from rlsp_cli.rewards.service.openrlhf import RequestError

_LARGEST = 64 << 20
"""Bytes of one request."""
_TOGETHER = 2 * _LARGEST
"""Bytes of all requests that are being read at a time."""
_LARGE = 1 << 20
"""Bytes from which on a request's memory is given back to the system."""
_DEEPEST = 64
"""Levels of lists and objects."""
_SECONDS = 60.0
"""From the head of a request to its end."""


class TooLargeError(RequestError):
    """The request has too many bytes."""


class TooSlowError(RequestError):
    """The request did not come in time."""


class Bodies:
    """Reads the bodies of requests, which share a limit on memory. Belongs to one event loop."""

    def __init__(self, seconds: float = _SECONDS) -> None:
        self.seconds, self._held = seconds, 0

    async def read(self, request: Request) -> Any:
        """The JSON of a request; RequestError, or BusyError while too much else is being read."""
        data = bytearray()
        try:
            async with asyncio.timeout(self.seconds):
                async for part in request.stream():
                    self._hold(len(part), len(data) + len(part))
                    data += part

            # In a thread: a large body would hold up all other requests while it is parsed.
            return await asyncio.to_thread(_parsed, data)
        except TimeoutError as error:
            raise TooSlowError(f"a request has at most {self.seconds:g} seconds") from error
        finally:
            # A client that hangs up in the middle gives its share back, too.
            self._held -= len(data)
            if len(data) > _LARGE:
                del data
                _give_memory_back()

    def _hold(self, more: int, size: int) -> None:
        if size > _LARGEST:
            raise TooLargeError(f"a request has at most {_LARGEST >> 20} MiB")
        if self._held + more > _TOGETHER:
            raise BusyError
        self._held += more


def _parsed(data: bytearray) -> Any:
    try:
        value = json.loads(data)
    except RecursionError as error:
        raise RequestError(f"the body is nested deeper than {_DEEPEST} levels") from error
    except ValueError as error:
        raise RequestError(f"the body is not JSON: {error}") from error
    _refuse_deep(value)
    return value


def _refuse_deep(value: Any) -> None:
    """RequestError for a value that may be too deep for json.dumps, which recurses."""
    level = [value]
    for _ in range(_DEEPEST + 1):
        children: list[Any] = []
        for node in level:
            if isinstance(node, dict | list):
                children += node.values() if isinstance(node, dict) else node
        if not children:
            return
        level = children

    raise RequestError(f"the body is nested deeper than {_DEEPEST} levels")


def _give_memory_back() -> None:
    """Return freed memory to the system: glibc keeps what was freed in small pieces."""
    if sys.platform == "linux":
        with suppress(AttributeError):  # another C library
            ctypes.CDLL(None).malloc_trim(0)
