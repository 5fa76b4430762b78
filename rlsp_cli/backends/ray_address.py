"""Where a Ray cluster is: its dashboard's address without secrets, and the headers for it."""

import base64
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from rlsp_cli.errors import NotReadyError, UsageError

SINGLE_MACHINE = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""Ray's switch for a cluster of one machine: all processes listen on the loopback alone."""
_HEADER_NAME = r"[\w!#$%&'*+.^`|~-]+"
"""A token of RFC 9110, 5.6.2."""
_AUTHORIZATION = "Authorization"
_AUTHORIZATION_TOO = "X-Ray-Authorization"
"""Ray looks here for its token where a proxy needs the usual header for itself."""


@dataclass(frozen=True)
class RayAddress:
    """Where a dashboard is, as it may be shown, and what every request to it carries."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    token: str | None = field(default=None, repr=False)
    """Ray's own token among the headers."""


def head_address(url: str, token: str) -> RayAddress:
    """The address of a head that we have started."""
    return RayAddress(url, {_AUTHORIZATION: f"Bearer {token}"}, token)


def read_ray_address(address: str, origin: str) -> RayAddress:
    """What an address of the user stands for; `origin` says where it was given.

    Headers are those of RAY_JOB_HEADERS, the user and password in the address, and Ray's token, in
    this order. UsageError for an address that is no dashboard's; NotReadyError for headers or a
    token that cannot be read.
    """
    parts = _parts(address.strip(), origin)
    headers, token = _given_headers(), _token()

    # A proxy in front of the dashboard may want a user, and Ray a token: each gets a header.
    if parts.username is not None:
        user, password = unquote(parts.username), unquote(parts.password or "")
        words = base64.b64encode(f"{user}:{password}".encode()).decode()
        _add(headers, f"Basic {words}", _AUTHORIZATION)
    if token:
        _add(headers, f"Bearer {token}", _AUTHORIZATION, _AUTHORIZATION_TOO)

    # What follows is shown, logged and written: without user and password.
    host = parts.netloc.rpartition("@")[2]
    return RayAddress(f"{parts.scheme}://{host}{parts.path.rstrip('/')}", headers, token)


def is_dashboard(address: str) -> bool:
    """Whether an address may be that of a dashboard, before anything asks there."""
    try:
        return bool(_parts(address.strip(), "address"))
    except UsageError:
        return False


def shown(address: str) -> str:
    """An address without what may be secret in it."""
    without_user = re.sub(r"^(\w+://)?.*@", r"\1***@", address, flags=re.DOTALL)
    return re.sub(r"\?.*", "?***", without_user, flags=re.DOTALL)


def _parts(address: str, origin: str) -> SplitResult:
    try:
        parts = urlsplit(address)
        known = parts.scheme in ("http", "https") and parts.port != 0 and _is_host(parts.hostname)
    except ValueError:
        # A port that is no number, a bracket that is not closed, a host that DNS cannot have.
        known = False

    if not known or re.search(r"[\s\\?#]", address) or not _is_path(parts.path):
        problem = f"{shown(address)!r} is no dashboard"
        expected = f"expected the address of its jobs API, as http://{_host(address)}:8265"
        raise UsageError(f"{origin}: {problem}; {expected}")
    return parts


def _is_host(name: str | None) -> bool:
    return bool(name and name.encode("idna"))


def _is_path(path: str) -> bool:
    """Whether a request can ask for it. With an @ it is the end of a password that has a slash."""
    return path.isascii() and path.isprintable() and "@" not in path


def _host(address: str) -> str:
    """The host in another address of Ray, such as ray://HOST:10001 or HOST:6379."""
    found = re.fullmatch(r"(?:\w+://)?(?:.*@)?([\w.-]+|\[[0-9a-fA-F:]+\]):\d+/?", address)
    return found[1] if found else "HOST"


def _add(headers: dict[str, str], value: str, *names: str) -> None:
    """Put a value under the first of the names that is still free."""
    taken = {name.lower() for name in headers}
    free = [name for name in names if name.lower() not in taken]
    if free:
        headers[free[0]] = value


def _given_headers() -> dict[str, str]:
    """RAY_JOB_HEADERS, which Ray's own commands honour too."""
    text = os.environ.get("RAY_JOB_HEADERS", "").strip()
    try:
        headers = json.loads(text) if text else {}
    except ValueError:
        headers = None

    # The value is not shown: it may be secret.
    if not isinstance(headers, dict) or not all(map(_is_pair, headers.items())):
        example = '{"Authorization": "Bearer TOKEN"}'
        raise NotReadyError(f"RAY_JOB_HEADERS: expected a JSON object of texts, as {example}")
    return headers


def _token() -> str | None:
    """Ray's token where Ray itself looks for it; None where there is none."""
    if os.environ.get("RAY_AUTH_MODE", "").lower() == "disabled":
        return None

    # The order is Ray's: the variable, the file that a variable names, the file in the home.
    origin, token = "RAY_AUTH_TOKEN", os.environ.get("RAY_AUTH_TOKEN", "").strip()
    if not token:
        origin, token = _token_file()
    if not _is_header(token):
        raise NotReadyError(f"{origin}: not a token; expected one line of letters and digits")
    return token or None


def _token_file() -> tuple[str, str]:
    """(file, token); the token is empty where no file is named and Ray's usual one is missing."""
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    path = Path(named or "~/.ray/auth_token").expanduser()
    try:
        return str(path), path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        if named is None and isinstance(error, FileNotFoundError):
            return str(path), ""
        reason = getattr(error, "strerror", None) or "not a text"
        raise NotReadyError(
            f"{path}: {reason}; Ray's token should stand there, or in RAY_AUTH_TOKEN"
        ) from error


def _is_pair(item: tuple[str, object]) -> bool:
    """Whether a header can have this name and value."""
    name, value = item
    return re.fullmatch(_HEADER_NAME, name, re.ASCII) is not None and _is_header(value)


def _is_header(text: object) -> bool:
    return isinstance(text, str) and text.isascii() and (text == "" or text.isprintable())
