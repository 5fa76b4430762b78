"""The page over HTTP, on loopback alone, below a path that nobody can guess."""

import hmac
import mimetypes
import secrets
import socket
from collections.abc import Callable

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rlsp_cli.errors import NotReadyError
from rlsp_cli.view.library import Library
from rlsp_cli.view.page import HEADERS, STATIC

HOST = "127.0.0.1"
_TOKEN_BYTES = 16
_HOSTS = [HOST, "localhost"]
"""Names that a browser on this machine uses. A page from elsewhere that has its own name point to
this address sends that name, and is refused."""


def serve_view(library: Library, port: int, say: Callable[[str], None]) -> None:
    """Serve the page until a signal; NotReadyError if the port is taken. Port 0 is any free one."""
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    listener = _bind(port)
    config = uvicorn.Config(view_app(library, token), log_level="warning", access_log=False)

    say(f"http://{HOST}:{listener.getsockname()[1]}/{token}/")
    uvicorn.Server(config).run(sockets=[listener])


def view_app(library: Library, token: str) -> Starlette:
    """The ASGI application, for addresses that begin with the token."""

    # Not async, so that it runs in a thread: files are read for it.
    def get(request: Request) -> Response:
        # In constant time, or the time to refuse would tell how much of a guess is right.
        if not hmac.compare_digest(request.path_params["token"].encode(), token.encode()):
            return Response("unknown address", 404, HEADERS)

        path = request.path_params["path"]
        if path.startswith("data/"):
            return _data(library, path.removeprefix("data/"), request.query_params.get("start"))
        return _file(path or "index.html")

    routes = [Route("/{token}/{path:path}", get)]
    return Starlette(
        routes=routes, middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=_HOSTS)]
    )


def _data(library: Library, name: str, start: str | None) -> Response:
    try:
        answer = library.answer(name, int(start or 0))
    except (LookupError, ValueError):
        return Response(f"no {name} here", 404, HEADERS)
    return Response(answer, media_type="application/json", headers=HEADERS)


def _file(name: str) -> Response:
    # By its name among those that are there: no path leads out of the folder.
    files = {path.name: path for path in STATIC.iterdir()}
    if name not in files:
        return Response(f"no {name} here", 404, HEADERS)

    kind = mimetypes.guess_type(name)[0]
    return Response(files[name].read_bytes(), media_type=kind, headers=HEADERS)


def _bind(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except OSError as error:
        raise NotReadyError(
            f"{HOST}:{port}: cannot listen here: {error.strerror}; choose another --port"
        ) from error
    return listener
