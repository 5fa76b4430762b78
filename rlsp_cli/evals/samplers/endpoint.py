"""Many requests to one server: so many at once, and each again while the server is busy or away."""

import asyncio
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count, islice
from typing import Any, Generic, TypeVar

import httpx2

from rlsp_cli.errors import NotReadyError
from rlsp_cli.evals.samplers.completion import read_refusal
from rlsp_cli.http import client_settings, retry_after

Reply = TypeVar("Reply")

_PAUSES_S = (1, 2, 4, 8, 15, 30, 30)
"""Seconds before each new try at a request that failed: time for a server to restart."""
_TRIES = len(_PAUSES_S) + 1
_BUSY_TRIES = 100
"""Tries at a request that the server puts off (429): it is there, and says when."""

_TICK_S = 1.0
"""Longest time between two calls of `tick`."""
_TIMEOUT = httpx2.Timeout(3600.0, connect=30.0)
"""Seconds that one response may take: a long one from a busy server takes many minutes."""

_OK, _TOO_MANY_REQUESTS, _SERVER_ERROR = 200, 429, 500


@dataclass(frozen=True)
class Question(Generic[Reply]):
    """The JSON of one request, how its reply is read, and its name in errors.

    `read` raises ValueError for a reply that is none; the server is then asked again. NotReadyError
    says that it cannot be used.
    """

    body: Mapping[str, Any]
    read: Callable[[bytes], Reply]
    name: str


class Endpoint:
    """One address that is asked `batch` questions at once.

    `tick` is called at least every second and may raise to stop.
    """

    def __init__(
        self, url: str, key: str = "", batch: int = 16, tick: Callable[[], None] = lambda: None
    ) -> None:
        self.url, self.key, self.batch, self.tick = url, key, batch, tick

        # time.monotonic() until which the server wants no requests.
        self._not_before = 0.0

    def replies(
        self, questions: Iterable[tuple[int, Question[Reply]]]
    ) -> Iterator[tuple[int, Reply]]:
        """(number, reply) as they come; NotReadyError when the server gives none.

        Ending the iteration cancels what is under way.
        """
        waiting = iter(questions)
        running: dict[asyncio.Task[Reply], int] = {}
        with asyncio.Runner() as runner:
            client = self._client()
            try:
                while True:
                    for number, question in islice(waiting, self.batch - len(running)):
                        task = runner.get_loop().create_task(self._reply(client, question))
                        running[task] = number
                    if not running:
                        return

                    pause = asyncio.wait(
                        running, timeout=_TICK_S, return_when=asyncio.FIRST_COMPLETED
                    )
                    ready, _ = runner.run(pause)

                    # Replies first: an error ends the loop, and they would be lost with it.
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

    async def _reply(self, client: httpx2.AsyncClient, question: Question[Reply]) -> Reply:
        """One reply; asks again while the server is busy, away, or gives none that can be read."""
        for tries in count(1):
            # One request that is put off holds back all of them: the server is busy for all.
            await asyncio.sleep(max(0.0, self._not_before - time.monotonic()))
            try:
                return await self._ask(client, question)
            except _UnansweredError as failure:
                if tries >= failure.worth:
                    raise NotReadyError(f"{self.url}: {question.name}: {failure}") from failure

                # A busy server has said how long to wait: see `_not_before`.
                if failure.worth != _BUSY_TRIES:
                    await asyncio.sleep(_PAUSES_S[tries - 1])

        raise AssertionError("the last try returns or raises")

    async def _ask(self, client: httpx2.AsyncClient, question: Question[Reply]) -> Reply:
        """One request; _UnansweredError if it has no reply, or one that cannot be read."""
        try:
            reply = await client.post(self.url, content=json.dumps(question.body))
        except httpx2.RequestError as error:
            raise _UnansweredError(
                f"no reply: {error or type(error).__name__}; is the server running?"
            ) from error

        if reply.status_code == _OK:
            try:
                return question.read(reply.content)
            except NotReadyError as error:
                raise NotReadyError(f"{self.url}: {question.name}: {error}") from error
            except ValueError as error:
                raise _UnansweredError(str(error)) from error

        if "Retry-After" in reply.headers or reply.status_code == _TOO_MANY_REQUESTS:
            self._not_before = time.monotonic() + retry_after(reply.headers.get("Retry-After", ""))

        refusal = read_refusal(reply.content) or reply.reason_phrase
        raise _UnansweredError(
            f"HTTP {reply.status_code}: {refusal}", _tries_worth(reply.status_code)
        )


def _tries_worth(status: int) -> int:
    """How many tries a reply is worth.

    A busy server (429) says when it is free, a broken one may recover, and a refused request stays
    refused.
    """
    if status == _TOO_MANY_REQUESTS:
        return _BUSY_TRIES
    return _TRIES if status >= _SERVER_ERROR else 1


class _UnansweredError(Exception):
    """A request without a reply, and how many tries it is worth."""

    def __init__(self, fault: str, worth: int = _TRIES) -> None:
        super().__init__(fault)
        self.worth = worth


def _has_failed(task: asyncio.Task[Reply]) -> bool:
    return task.exception() is not None


async def _call_off(running: dict[asyncio.Task[Reply], int], client: httpx2.AsyncClient) -> None:
    for task in running:
        task.cancel()

    # Waited for, so that no connection is left open when the loop closes.
    await asyncio.gather(*running, return_exceptions=True)
    await client.aclose()
