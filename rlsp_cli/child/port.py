"""A port for a child process to listen at."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

_LOOPBACK = "127.0.0.1"


@contextmanager
def held_port() -> Iterator[int]:
    """A port of this machine that the system gives to no other process while the block runs.

    We are bound to it without listening, and SO_REUSEADDR lets the child bind to it beside us.
    """
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind((_LOOPBACK, 0))
        yield int(held.getsockname()[1])
