"""What clients of model servers share: keys, proxies, and the pause that a server asks for."""

import os
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypedDict

_LONGEST_REST_S = 3600.0
"""Longest pause: with an absurd Retry-After, an evaluation would never go on."""
_THIS_MACHINE = ("127.0.0.1", "localhost", "::1")


class ClientSettings(TypedDict):
    """Arguments of `httpx2.Client` and `httpx2.AsyncClient`.

    Neither follows redirects, to which the key would be sent too.
    """

    headers: dict[str, str]
    trust_env: bool


def client_settings(url: str, key: str) -> ClientSettings:
    """Settings for JSON to this address; without proxies for this machine, which none reaches."""
    import httpx2

    headers = {"Content-Type": "application/json"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    return {"headers": headers, "trust_env": httpx2.URL(url).host not in _THIS_MACHINE}


def read_key(variable: str) -> str:
    """The key in an environment variable, or empty; ValueError as `valid_key`."""
    return valid_key(os.environ.get(variable, ""), variable)


def valid_key(key: str, variable: str) -> str:
    """The key without blanks around it; ValueError if no header can hold it."""
    # Checked here because a library's own error would show the key.
    key = key.strip()
    if not key.isascii() or (key and not key.isprintable()):
        raise ValueError(f"{variable} holds no key; expected one line of letters, digits and signs")
    return key


def retry_after(header: str) -> float:
    """Seconds of a Retry-After header, a number or a date (RFC 9110, 10.2.3); 1 if neither."""
    if header.isdecimal():
        return min(float(header), _LONGEST_REST_S)

    try:
        seconds = (parsedate_to_datetime(header) - datetime.now(UTC)).total_seconds()
        return min(max(0.0, seconds), _LONGEST_REST_S)
    except (ValueError, TypeError, OverflowError):
        return 1.0
