"""The login to Weights & Biases, looked for before anything starts: its client asks when models have been loaded."""

import netrc
from collections.abc import Mapping
from urllib.parse import urlsplit

from rlsp_cli.errors import NotReadyError

_KEY = "WANDB_API_KEY"


def wandb_login(environment: Mapping[str, str]) -> dict[str, str]:
    """The variable that logs a job in, on any machine; NotReadyError without a login on this machine."""
    if environment.get("WANDB_MODE") in ("offline", "disabled", "dryrun"):
        return {}
    host = _host(environment.get("WANDB_BASE_URL") or "https://api.wandb.ai")
    key = environment.get(_KEY) or _from_netrc(host)
    if key is None:
        raise NotReadyError(
            f"tracking.to: wandb has no login for {host} here; set {_KEY}, run `wandb login`, or set WANDB_MODE=offline"
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
    """What `wandb login` has left for a host."""
    try:
        found = netrc.netrc().authenticators(host)
    except (OSError, netrc.NetrcParseError):
        return None
    return found[2] if found else None
