"""Addresses and ports: which one is free, which one is ours, and how other machines reach us."""

import re
import socket
from collections.abc import Iterable

from rlsp_cli.errors import NotReadyError, UsageError

LOOPBACK = "127.0.0.1"


def dashboard_url(address: str, origin: str) -> str:
    """An address that leads to a dashboard; UsageError for those of Ray's other doors."""
    if re.fullmatch(r"https?://[^/\s:]+(:\d+)?/?", address) or re.fullmatch(
        r"https?://\[[0-9a-f:]+\](:\d+)?/?", address
    ):
        return address.rstrip("/")
    raise UsageError(
        f"{origin}: {address!r} is no dashboard; expected the address of its jobs API, as http://HOST:8265"
    )


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now, all different."""
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("", 0))
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def refuse_taken(port: int) -> None:
    """NotReadyError when somebody listens on the port of the head."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError as error:
            raise NotReadyError(
                f"port {port} is taken here, and Ray's head needs it; set cluster.port to another"
            ) from error


def our_address(peers: Iterable[str]) -> str:
    """The address under which all of `peers` reach this machine; loopback when they are this machine."""
    ours = {peer: _towards(peer) for peer in peers}
    return next((address for peer, address in ours.items() if peer != address), LOOPBACK)


def _towards(peer: str) -> str:
    """Our end of the way to a peer; nothing is sent."""
    with socket.socket(socket.AF_INET6 if ":" in peer else socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((peer, 9))
        return str(probe.getsockname()[0])
