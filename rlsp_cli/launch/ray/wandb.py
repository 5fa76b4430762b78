"""The login to Weights & Biases, found before anything starts: its client asks only in training."""

import netrc
from collections.abc import Mapping
from urllib.parse import urlsplit

from rlsp_cli.errors import NotReadyError

_KEY = "WANDB_API_KEY"
_PUBLIC = "https://api.wandb.ai"


def wandb_login(environment: Mapping[str, str]) -> dict[str, str]:
    """The variable that logs a job in, on any machine; NotReadyError without a login here."""
    if environment.get("WANDB_MODE") in ("offline", "disabled", "dryrun"):
        return {}

    # A key belongs to one server, and a company may have its own.
    host = _host(environment.get("WANDB_BASE_URL") or _PUBLIC)
    key = environment.get(_KEY) or _from_netrc(host)
    if key is None:
        raise NotReadyError(
            f"tracking.to: wandb has no login for {host} here; "
            f"set {_KEY}, run `wandb login`, or set WANDB_MODE=offline"
        )
    return {_KEY: key}


def _host(url: str) -> str:
    try:
        host = urlsplit(url).hostname
    except ValueError:
        host = None
    if not host:
        raise NotReadyError(
            "WANDB_BASE_URL: not the address of a server; expected one such as https://HOST"
        )
    return host


def _from_netrc(host: str) -> str | None:
    """The key that `wandb login` has left for a host."""
    try:
        found = netrc.netrc().authenticators(host)
    except (OSError, netrc.NetrcParseError):  # other programs write this file too
        return None
    return found[2] if found else None
