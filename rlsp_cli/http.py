"""What all clients of model servers share: keys, proxies, and servers that ask to be left alone for a while."""

import os
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypedDict

_LONGEST_REST_S = 3600.0
"""Of what a server asks for, so that an absurd number does not end an evaluation by never asking again."""
_THIS_MACHINE = ("127.0.0.1", "localhost", "::1")


class ClientSettings(TypedDict):
    """Arguments of `httpx2.Client` and `httpx2.AsyncClient`. Neither follows redirects: the key would go there too."""

    headers: dict[str, str]
    trust_env: bool


def client_settings(url: str, key: str) -> ClientSettings:
    """For JSON to this address; proxies are not used for servers on this machine, which no proxy reaches."""
    import httpx2

    headers = {"Content-Type": "application/json"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    return {"headers": headers, "trust_env": httpx2.URL(url).host not in _THIS_MACHINE}


def read_key(variable: str) -> str:
    """The key in an environment variable; empty if it is not set. ValueError as `valid_key`."""
    return valid_key(os.environ.get(variable, ""), variable)


def valid_key(key: str, variable: str) -> str:
    """The key if a header can hold it; ValueError for another, before a library prints it in an error of its own."""
    key = key.strip()
    if not key.isascii() or (key and not key.isprintable()):
        raise ValueError(f"{variable} holds no key; expected one line of letters, digits and signs")
    return key


def retry_after(header: str) -> float:
    """Seconds that a server asks to be left alone: a number or a date (RFC 9110, 10.2.3); 1 if it says neither."""
    if header.isdecimal():
        return min(float(header), _LONGEST_REST_S)
    try:
        seconds = (parsedate_to_datetime(header) - datetime.now(UTC)).total_seconds()
        return min(max(0.0, seconds), _LONGEST_REST_S)
    except (ValueError, TypeError, OverflowError):
        return 1.0
