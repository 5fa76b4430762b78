"""What a request says: JSON of a bounded size and depth, that comes within a bounded time."""

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
"""Bytes of a request."""
_TOGETHER = 2 * _LARGEST
"""Bytes of all requests that are being read."""
_LARGE = 1 << 20
"""A request from which on its memory is worth giving back."""
_DEEPEST = 64
"""Levels of lists and objects."""
_SECONDS = 60.0


class TooLargeError(RequestError):
    """The request has too many bytes."""


class TooSlowError(RequestError):
    """The request did not come in time."""


class Bodies:
    """Reads requests' bodies; those that are read at one time have a common limit. Belongs to one event loop."""

    def __init__(self, seconds: float = _SECONDS) -> None:
        self.seconds, self._held = seconds, 0

    async def read(self, request: Request) -> Any:
        """The JSON that a request holds; RequestError, or BusyError when too many large ones are read."""
        data = bytearray()
        try:
            async with asyncio.timeout(self.seconds):
                async for part in request.stream():
                    self._hold(len(part), len(data) + len(part))
                    data += part
            return await asyncio.to_thread(_parsed, data)
        except TimeoutError as error:
            raise TooSlowError(f"a request has at most {self.seconds:g} seconds") from error
        finally:
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
    """Level by level: what is parsed may be too deep to be written again."""
    level = [value]
    for _ in range(_DEEPEST + 1):
        parts = [
            node.values() if isinstance(node, dict) else node
            for node in level
            if isinstance(node, dict | list)
        ]
        level = [child for part in parts for child in part]
        if not level:
            return
    raise RequestError(f"the body is nested deeper than {_DEEPEST} levels")


def _give_memory_back() -> None:
    """The C library keeps what was freed in small pieces for itself; glibc can be told not to."""
    if sys.platform == "linux":
        with suppress(AttributeError):  # another C library
            ctypes.CDLL(None).malloc_trim(0)
