"""Addresses and ports: which one is free, which one is ours, and how other machines reach us."""

import itertools
import socket
from collections.abc import Iterable

from rlsp_cli.errors import NotReadyError

LOOPBACK = "127.0.0.1"
_FIRST_PORT, _END_OF_PORTS = 1024, 1 << 16
"""Ports below the first need root."""
_DISCARD_PORT = 9


def free_ports(count: int, first: int) -> list[int]:
    """The next free ports from `first` on."""
    # Port 0 would let the kernel pick one, but from a range that it also uses for outgoing
    # connections: such a port may be gone when Ray, a minute later, binds it.
    candidates = itertools.chain(range(first, _END_OF_PORTS), range(_FIRST_PORT, first))
    return list(itertools.islice(filter(_is_free, candidates), count))


def refuse_taken(port: int) -> None:
    """NotReadyError when the port of the head is in use."""
    if not _is_free(port):
        raise NotReadyError(
            f"port {port} is taken here, and Ray's head needs it; set cluster.port to another"
        )


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # Servers set this too: without it a port that a program has just left counts as taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True


def our_address(peers: Iterable[str]) -> str:
    """The address under which all of `peers` reach this machine; loopback without other ones."""
    ours = {peer: _address_towards(peer) for peer in peers}

    # Towards itself a machine has the peer's own address.
    for peer, address in ours.items():
        if peer != address:
            return address

    return LOOPBACK


def _address_towards(peer: str) -> str:
    """Our address on the network that leads to a peer."""
    family = socket.AF_INET6 if ":" in peer else socket.AF_INET

    # Connecting a UDP socket sends nothing: the kernel only picks the route, and our address on it.
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((peer, _DISCARD_PORT))
        return str(probe.getsockname()[0])
