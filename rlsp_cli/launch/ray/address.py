"""Addresses and ports: which one is free, which one is ours, and how other machines reach us."""

import itertools
import socket
from collections.abc import Iterable

from rlsp_cli.errors import NotReadyError

LOOPBACK = "127.0.0.1"


def free_ports(count: int, first: int) -> list[int]:
    """The next free ports from `first` on.

    Ports that the system picks itself may be gone when Ray, a minute later, binds them.
    """
    candidates = itertools.chain(range(first, 65536), range(1024, first))
    return list(itertools.islice(filter(_is_free, candidates), count))


def refuse_taken(port: int) -> None:
    """NotReadyError when the port of the head is in use."""
    if not _is_free(port):
        raise NotReadyError(
            f"port {port} is taken here, and Ray's head needs it; set cluster.port to another"
        )


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True


def our_address(peers: Iterable[str]) -> str:
    """The address under which all of `peers` reach this machine; loopback when they are this machine."""
    ours = {peer: _towards(peer) for peer in peers}
    return next((address for peer, address in ours.items() if peer != address), LOOPBACK)


def _towards(peer: str) -> str:
    """Our end of the way to a peer; nothing is sent."""
    with socket.socket(
        socket.AF_INET6 if ":" in peer else socket.AF_INET, socket.SOCK_DGRAM
    ) as probe:
        probe.connect((peer, 9))
        return str(probe.getsockname()[0])
