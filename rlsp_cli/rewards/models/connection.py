"""A connection to the server of one model: requests in, JSON out, one kind of error."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rlsp_cli.http import client_settings, retry_after
from rlsp_cli.outside import read_json
from rlsp_cli.rewards.models.address import Address

if TYPE_CHECKING:
    import httpx2

_TRIES = 3
_BUSY = (429, 503)
"""Status of a server that may answer when it is asked again."""
_OK = 200
_SHOWN = 200
"""Characters of a reply that an error shows."""


class UnansweredError(Exception):
    """A model gave no answer, or none that can be read; the message says which model, and why."""


class Connection:
    """The server at an address, which `name` stands for in errors; not to be shared by threads.

    Nothing here has a time limit: a call to a plugin has one.
    """

    def __init__(self, name: str, address: Address) -> None:
        self.name, self.address = name, address
        self._client: httpx2.Client | None = None

    def get(self, path: str) -> Any:
        """The JSON at a path; UnansweredError."""
        return self._send("GET", path, None)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """The JSON that answers a body; UnansweredError."""
        return self._send("POST", path, body)

    def close(self) -> None:
        """Give up the connection; a later request makes a new one."""
        if self._client is not None:
            self._client.close()
        self._client = None

    @contextmanager
    def reading(self, reply: Any) -> Iterator[None]:
        """UnansweredError where the block finds the reply to be of another form."""
        # Proxies answer with pages, and other servers with other JSON.
        try:
            yield
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            words = f"cannot read the reply {str(reply)[:_SHOWN]!r} ({error})"
            raise UnansweredError(f"{self._where}: {words}; is this the right server?") from error

    def _send(self, method: str, path: str, body: Mapping[str, Any] | None) -> Any:
        reply = self._patient(method, path, body)
        if reply.status_code != _OK:
            said = _refusal(reply.content) or reply.reason_phrase
            raise UnansweredError(f"{self._where}: HTTP {reply.status_code} for {path}: {said}")

        with self.reading(reply.text):
            return read_json(reply.content)

    def _patient(self, method: str, path: str, body: Mapping[str, Any] | None) -> "httpx2.Response":
        """The reply to a request, which is sent again while the server is busy."""
        for _ in range(_TRIES - 1):
            reply = self._request(method, path, body)
            if reply.status_code not in _BUSY:
                return reply
            time.sleep(retry_after(reply.headers.get("Retry-After", "")))
        return self._request(method, path, body)

    def _request(self, method: str, path: str, body: Mapping[str, Any] | None) -> "httpx2.Response":
        import httpx2

        if self._client is None:
            settings = client_settings(self.address.url, self.address.key)
            self._client = httpx2.Client(timeout=None, **settings)
        try:
            return self._client.request(method, f"{self.address.root}{path}", json=body)
        except httpx2.HTTPError as error:
            words = f"no reply: {error or type(error).__name__}; has the server ended?"
            raise UnansweredError(f"{self._where}: {words}") from error

    @property
    def _where(self) -> str:
        return f"model {self.name!r} at {self.address.root}"


def _refusal(content: bytes) -> str:
    """What a server says in place of an answer, on one line."""
    try:
        said = str(read_json(content)["error"]["message"])
    except (ValueError, LookupError, TypeError):
        said = content.decode(errors="replace")
    return " ".join(said[:_SHOWN].split())
