"""Responses from an OpenAI-compatible server: vLLM, SGLang, llama.cpp, or a provider's API."""

import asyncio
import json
import time
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count, islice
from typing import Any

import httpx2

from rlsp_cli.errors import NotReadyError, UsageError
from rlsp_cli.evals.samplers.completion import (
    chat_body,
    completion_body,
    read_completion,
    read_refusal,
)
from rlsp_cli.evals.samplers.sampler import Decoding, Request, Response
from rlsp_cli.http import client_settings, read_key, retry_after, valid_key

KEY_VARIABLE = "OPENAI_API_KEY"
"""The environment variable that holds the key; other users of the machine see command lines."""

_PAUSES_S = (1, 2, 4, 8, 15, 30, 30)
"""Seconds before each new try at a request that failed: time for a server to restart."""
_TRIES = len(_PAUSES_S) + 1
_BUSY_TRIES = 100
"""Tries at a request that the server puts off (429): it is there, and says when."""

_SEEDS = 2**31
"""Servers take seeds of 32 bits, with a sign."""
_TICK_S = 1.0
"""Longest time between two calls of `tick`."""
_TIMEOUT = httpx2.Timeout(3600.0, connect=30.0)
"""Seconds that one response may take: a long one from a busy server takes many minutes."""

_OK, _TOO_MANY_REQUESTS, _SERVER_ERROR = 200, 429, 500


class EndpointSampler:
    """A `Sampler` with a request for each response, and `batch` of them under way at once.

    Prompts are the user's turn in `URL/chat/completions`; with `encode`, which gives a prompt's
    token ids, they go to `URL/completions` as they are, with `options` that this server knows.
    `tick` is called at least every second and may raise to stop.
    """

    def __init__(
        self,
        url: str,
        model: str,
        *,
        encode: Callable[[Request], list[int]] | None = None,
        options: Mapping[str, Any] | None = None,
        key: str | None = None,
        batch: int = 16,
        tick: Callable[[], None] = lambda: None,
    ) -> None:
        if not url.startswith(("http://", "https://")):
            raise UsageError(
                f"{url!r} is no http address; expected one such as http://127.0.0.1:8000/v1"
            )

        self.url, self.model, self.encode = url.rstrip("/"), model, encode
        self.path = "/completions" if encode else "/chat/completions"
        self.options = dict(options or {})
        self.key, self.batch, self.tick = _key(key), batch, tick

        # time.monotonic() until which the server wants no requests.
        self._not_before = 0.0

    def answer(
        self, requests: Sequence[Request], decoding: Decoding, done: Container[int] = ()
    ) -> Iterator[tuple[int, Response]]:
        """The responses as they come; NotReadyError when the server gives none.

        Ending the iteration cancels what is under way.
        """
        rows = (row for row in range(len(requests)) if row not in done)
        running: dict[asyncio.Task[Response], int] = {}
        with asyncio.Runner() as runner:
            client = self._client()
            try:
                while True:
                    for row in islice(rows, self.batch - len(running)):
                        # By place, so that the order in which responses come back does not matter.
                        seeded = replace(decoding, seed=(decoding.seed + row) % _SEEDS)
                        response = self._response(client, requests[row], seeded)
                        running[runner.get_loop().create_task(response)] = row
                    if not running:
                        return

                    waiting = asyncio.wait(
                        running, timeout=_TICK_S, return_when=asyncio.FIRST_COMPLETED
                    )
                    ready, _ = runner.run(waiting)

                    # Responses first: an error ends the loop, and they would be lost with it.
                    for task in sorted(ready, key=_has_failed):
                        yield running.pop(task), task.result()
                    self.tick()
            finally:
                runner.run(_call_off(running, client))

    def _client(self) -> httpx2.AsyncClient:
        limits = httpx2.Limits(max_connections=self.batch, max_keepalive_connections=self.batch)
        return httpx2.AsyncClient(
            limits=limits, timeout=_TIMEOUT, **client_settings(self.url, self.key)
        )

    def _body(self, request: Request, decoding: Decoding) -> dict[str, Any]:
        if self.encode:
            return completion_body(self.model, self.encode(request), decoding, self.options)
        return chat_body(self.model, request, decoding)

    async def _response(
        self, client: httpx2.AsyncClient, request: Request, decoding: Decoding
    ) -> Response:
        """One response; asks again while the server is busy, away, or gives no completion."""
        body = self._body(request, decoding)

        for tries in count(1):
            # One request that is put off holds back all of them: the server is busy for all.
            await asyncio.sleep(max(0.0, self._not_before - time.monotonic()))
            try:
                return await self._ask(client, body, request)
            except _UnansweredError as failure:
                if tries >= failure.worth:
                    where = f"{self.url}{self.path}: problem {request.id!r}"
                    raise NotReadyError(f"{where}: {failure}") from failure

                # A busy server has said how long to wait: see `_not_before`.
                if failure.worth != _BUSY_TRIES:
                    await asyncio.sleep(_PAUSES_S[tries - 1])

        raise AssertionError("the last try returns or raises")

    async def _ask(
        self, client: httpx2.AsyncClient, body: dict[str, Any], request: Request
    ) -> Response:
        """One request; _UnansweredError if it has no reply, or a reply without a response."""
        try:
            reply = await client.post(self.url + self.path, content=json.dumps(body))
        except httpx2.RequestError as error:
            raise _UnansweredError(
                f"no reply: {error or type(error).__name__}; is the server running?"
            ) from error

        if reply.status_code == _OK:
            try:
                return read_completion(reply.content, request)
            except ValueError as error:
                raise _UnansweredError(str(error)) from error

        if "Retry-After" in reply.headers or reply.status_code == _TOO_MANY_REQUESTS:
            self._not_before = time.monotonic() + retry_after(reply.headers.get("Retry-After", ""))

        refusal = read_refusal(reply.content) or reply.reason_phrase
        raise _UnansweredError(
            f"HTTP {reply.status_code}: {refusal}", _tries_worth(reply.status_code)
        )


def _key(given: str | None) -> str:
    """The given key or that of the environment; UsageError for one that no header can hold."""
    try:
        return valid_key(given, KEY_VARIABLE) if given else read_key(KEY_VARIABLE)
    except ValueError as error:
        raise UsageError(str(error)) from error


def _tries_worth(status: int) -> int:
    """How many tries a reply is worth.

    A busy server (429) says when it is free, a broken one may recover, and a refused request stays
    refused.
    """
    if status == _TOO_MANY_REQUESTS:
        return _BUSY_TRIES
    return _TRIES if status >= _SERVER_ERROR else 1


class _UnansweredError(Exception):
    """A request without a response, and how many tries it is worth."""

    def __init__(self, fault: str, worth: int = _TRIES) -> None:
        super().__init__(fault)
        self.worth = worth


def _has_failed(task: asyncio.Task[Response]) -> bool:
    return task.exception() is not None


async def _call_off(running: dict[asyncio.Task[Response], int], client: httpx2.AsyncClient) -> None:
    for task in running:
        task.cancel()

    # Waited for, so that no connection is left open when the loop closes.
    await asyncio.gather(*running, return_exceptions=True)
    await client.aclose()
