"""Whether the hub can be asked; its own client tries for half a minute before it gives up."""

import os
import socket
from pathlib import Path
from urllib.parse import urlsplit

from rlsp_cli.hub_cache import cached_file

_PROXIES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
_CONNECT_S = 5.0
_PORTS = {"http": 80, "https": 443}


def model_on_hub(path: str) -> str | None:
    """Why a model cannot be loaded from the hub; None when it can, or is in the cache."""
    return None if cached_file(path, "config.json") else _unreachable()


def data_on_hub(source: str) -> str | None:
    """Why a data set `hf:org/name` cannot be loaded; None when it can, or is in the cache."""
    from huggingface_hub.constants import HF_HOME

    # Where `datasets` keeps what it has loaded; it is not imported, because that takes seconds.
    cache = Path(os.environ.get("HF_DATASETS_CACHE", Path(HF_HOME) / "datasets"))
    name = source.removeprefix("hf:").partition("@")[0]
    return None if (cache / name.replace("/", "___")).is_dir() else _unreachable()


def _unreachable() -> str | None:
    """Why the hub cannot be reached; None when it can, or when a proxy may reach it."""
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        return "HF_HUB_OFFLINE is set"
    if any(os.environ.get(name) for name in _PROXIES):
        return None

    address = urlsplit(os.environ.get("HF_ENDPOINT", "https://huggingface.co"))
    host = address.hostname or ""
    port = address.port or _PORTS.get(address.scheme, _PORTS["https"])
    try:
        socket.create_connection((host, port), timeout=_CONNECT_S).close()
    except OSError as error:
        return f"the hub ({host}) cannot be reached: {error.strerror or error}"
    return None
