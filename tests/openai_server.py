"""A server that speaks as OpenAI's API does, and answers what a test tells it to."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = tuple[int, dict[str, str], Any]
"""Status, headers, and the body: text as it is, anything else as JSON."""


class Server(ThreadingHTTPServer):
    """What it was asked is in `asked`; `most` is the largest number of requests that were under way at once."""

    request_queue_size = 256
    daemon_threads = True

    def __init__(self, answer: Callable[[dict[str, Any]], Reply], seconds: float = 0.0) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer, self.seconds = answer, seconds
        self.asked: list[dict[str, Any]] = []
        self.most = self.under_way = 0
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


def chat(text: str | None, **more: Any) -> Reply:
    """A chat completion of one token."""
    choice = {"message": {"role": "assistant", "content": text}, "finish_reason": "stop", **more}
    return 200, {}, {"choices": [choice], "usage": {"completion_tokens": 1}}


@contextmanager
def serving(answer: Callable[[dict[str, Any]], Reply], seconds: float = 0.0) -> Iterator[Server]:
    """A server for the time of a test; each reply takes `seconds`."""
    server = Server(answer, seconds)
    # It looks so often, in seconds, whether to end.
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.asked.append(
                {"path": self.path, "key": self.headers["Authorization"], **body}
            )
            self.server.under_way += 1
            self.server.most = max(self.server.most, self.server.under_way)
        time.sleep(self.server.seconds)
        status, headers, reply = self.server.answer(body)
        with self.server.lock:
            self.server.under_way -= 1
        data = (reply if isinstance(reply, str) else json.dumps(reply)).encode()
        with suppress(
            BrokenPipeError, ConnectionResetError
        ):  # what was called off is read by nobody
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(data))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Quiet."""
