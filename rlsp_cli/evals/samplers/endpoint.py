"""Responses from an OpenAI-compatible server: vLLM, SGLang, llama.cpp, or somebody's API."""

import asyncio
import json
import os
import time
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import count, islice
from json import JSONDecodeError
from typing import Any

import httpx2

from rlsp_cli.data.message import content_text, message_text, thought_of
from rlsp_cli.errors import NotReadyError, UsageError
from rlsp_cli.evals.samplers.sampler import Decoding, Request, Response
from rlsp_cli.outside import count_of, number_of, read_json
from rlsp_cli.rewards.thinking import closing, whole, with_opening

KEY_VARIABLE = "OPENAI_API_KEY"
"""The environment variable that holds the key; a key on the command line would be seen by everybody."""
_PAUSES_S = (1, 2, 4, 8, 15, 30, 30)
"""Seconds before each new try at a request that failed."""
_TRIES = len(_PAUSES_S) + 1
_BUSY_TRIES = 100
"""Tries at a request that the server puts off (429): it is there, and says when."""
_LONGEST_REST_S = 3600.0
_TIMEOUT = httpx2.Timeout(3600.0, connect=30.0)
"""Seconds that one response may take."""


class EndpointSampler:
    """A `rlsp_cli.evals.samplers.sampler.Sampler` with `batch` requests under way at once; each response is a request.

    Prompts are the user's turn in `URL/chat/completions`; with `encode`, which gives a prompt's token
    ids, they go to `URL/completions` as they are, with `options` that this server knows. `beat` is called at least
    every second and may raise to stop.
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
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        if not url.startswith(("http://", "https://")):
            raise UsageError(f"{url!r} is no http address; expected one such as http://127.0.0.1:8000/v1")
        self.url, self.model, self.encode = url.rstrip("/"), model, encode
        self.path, self.options = "/completions" if encode else "/chat/completions", dict(options or {})
        self.key, self.batch, self.beat = _key(key or os.environ.get(KEY_VARIABLE, "")), batch, beat
        self._not_before = 0.0  # time.monotonic() until which the server wants to be left alone

    def answer(
        self, requests: Sequence[Request], decoding: Decoding, done: Container[int] = ()
    ) -> Iterator[tuple[int, Response]]:
        """As they come; NotReadyError when the server does not give one. What nobody will read is called off."""
        rows = (row for row in range(len(requests)) if row not in done)
        running: dict[asyncio.Task[Response], int] = {}
        with asyncio.Runner() as runner:
            client = self._client()
            try:
                while True:
                    for row in islice(rows, self.batch - len(running)):
                        seeded = replace(decoding, seed=(decoding.seed + row) % 2**31)
                        asked = self._response(client, requests[row], seeded)
                        running[runner.get_loop().create_task(asked)] = row
                    if not running:
                        return
                    ready, _ = runner.run(asyncio.wait(running, timeout=1.0, return_when=asyncio.FIRST_COMPLETED))
                    for task in sorted(ready, key=lambda task: task.exception() is not None):  # first what came
                        yield running.pop(task), task.result()
                    self.beat()
            finally:
                runner.run(_call_off(running, client))

    def _client(self) -> httpx2.AsyncClient:
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {self.key}"} if self.key else {})
        limits = httpx2.Limits(max_connections=self.batch, max_keepalive_connections=self.batch)
        far = httpx2.URL(self.url).host not in ("127.0.0.1", "localhost", "::1")  # no proxy reaches this machine's own
        return httpx2.AsyncClient(headers=headers, limits=limits, timeout=_TIMEOUT, trust_env=far)

    def _body(self, request: Request, decoding: Decoding) -> dict[str, Any]:
        settings = {
            "model": self.model,
            "temperature": decoding.temperature,
            "top_p": decoding.top_p,
            "max_tokens": decoding.max_new_tokens,
            "seed": decoding.seed,
        }
        if self.encode:
            logprobs = {"logprobs": 1} if decoding.logprobs else {}
            return {**settings, **self.options, "prompt": self.encode(request), **logprobs}
        system = [{"role": "system", "content": request.system}] if request.system else []
        turns = [*system, {"role": "user", "content": request.prompt}]
        if request.prefix:  # as vLLM and SGLang have it: the model goes on with the last turn
            turns.append({"role": "assistant", "content": request.prefix})
            settings |= {"continue_final_message": True, "add_generation_prompt": False}
        return {**settings, "messages": turns, **({"logprobs": True} if decoding.logprobs else {})}

    async def _response(self, client: httpx2.AsyncClient, request: Request, decoding: Decoding) -> Response:
        """One response; asks again while the server is busy, away, or answers what is no completion."""
        body = self._body(request, decoding)
        for tries in count(1):
            await asyncio.sleep(max(0.0, self._not_before - time.monotonic()))
            try:
                return await self._ask(client, body, request)
            except _UnansweredError as failure:
                if tries >= failure.worth:
                    where = f"{self.url}{self.path}: problem {request.id!r}"
                    raise NotReadyError(f"{where}: {failure}") from failure
                if failure.worth != _BUSY_TRIES:
                    await asyncio.sleep(_PAUSES_S[tries - 1])
        raise AssertionError("the last try returns or raises")

    async def _ask(self, client: httpx2.AsyncClient, body: dict[str, Any], request: Request) -> Response:
        try:
            reply = await client.post(self.url + self.path, content=json.dumps(body))
        except httpx2.RequestError as error:
            raise _UnansweredError(f"no reply: {error or type(error).__name__}; is the server running?") from error
        if reply.status_code == 200:
            return _read(reply, request)
        if "Retry-After" in reply.headers or reply.status_code == 429:
            self._not_before = time.monotonic() + _retry_after(reply.headers.get("Retry-After", ""))
        worth = _BUSY_TRIES if reply.status_code == 429 else _TRIES if reply.status_code >= 500 else 1
        raise _UnansweredError(f"HTTP {reply.status_code}: {_refusal(reply)}", worth)


def _key(given: str) -> str:
    """A key as a header can have it; UsageError for another, whose words no library may then print."""
    key = given.strip()
    if not key.isascii() or (key and not key.isprintable()):
        raise UsageError(f"{KEY_VARIABLE} holds no key; expected one line of letters, digits and signs")
    return key


class _UnansweredError(Exception):
    """A request without a response, and how many tries it is worth."""

    def __init__(self, fault: str, worth: int = _TRIES) -> None:
        super().__init__(fault)
        self.worth = worth


async def _call_off(running: dict[asyncio.Task[Response], int], client: httpx2.AsyncClient) -> None:
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)  # all of them end; what they found is not wanted
    await client.aclose()


def _read(reply: httpx2.Response, request: Request) -> Response:
    """The response in a (chat) completion, whole: see `rlsp_cli.rewards.thinking`."""
    try:
        said = read_json(reply.content)
        choice = said["choices"][0]
        message = choice.get("message")
        text = _chat_text(message, request) if message else _completed(choice["text"], request)
    except (JSONDecodeError, LookupError, TypeError, AttributeError) as error:
        raise _UnansweredError(f"{reply.text[:80]!r} is no completion; is this the right URL?") from error
    except ValueError as error:
        raise _UnansweredError(f"the reply cannot be read: {error}") from error
    truncated = choice.get("finish_reason") == "length"
    return Response(text, _tokens(said.get("usage")), truncated, _scores(choice.get("logprobs")))


def _completed(text: Any, request: Request) -> str:
    """A completion of our own prompt, which may have opened the thinking."""
    text = content_text({"content": text})
    return text if request.prefix else whole(request.prompt, text)


def _chat_text(message: Mapping[str, Any], request: Request) -> str:
    """A reply to a chat: thinking that the server parts from the answer goes back between its tags.

    A reply that goes on with a prefix belongs to what the prefix has begun, thinking or answer, and opens nothing.
    """
    if not request.prefix:
        return with_opening(message_text(message))
    end, thought, answer = closing(request.prefix), thought_of(message), content_text(message)
    return f"{thought}\n{end}\n\n{answer}" if end and thought and answer else thought + answer


def _refusal(reply: httpx2.Response) -> str:
    """What the server says, in one line; with what to do where a model has no chat template."""
    try:
        said = str(read_json(reply.content)["error"]["message"])
    except (ValueError, LookupError, TypeError):
        said = reply.text
    short = " ".join(said[:300].split()) or reply.reason_phrase
    if "chat template" not in said:
        return short
    return f"{short}; start the server with a chat template, or let --serve put the problems as plain text"


def _tokens(usage: Any) -> int | None:
    """How many tokens the server says that the response has; None where it does not, or says what is no number."""
    return count_of(usage.get("completion_tokens")) if isinstance(usage, dict) else None


def _scores(logprobs: Any) -> dict[str, float]:
    """The sum of the tokens' log-probabilities, from a chat's `content` or a completion's `token_logprobs`.

    Nothing where the server gives none, or any that is no number.
    """
    try:
        tokens = [token["logprob"] for token in logprobs.get("content") or ()] or logprobs.get("token_logprobs") or []
        numbers = [number for token in tokens if (number := number_of(token)) is not None]
    except (AttributeError, LookupError, TypeError):
        return {}
    return {"logprob": sum(numbers)} if numbers and len(numbers) == len(tokens) else {}


def _retry_after(said: str) -> float:
    """Seconds that the server asks to be left alone: a number or a date (RFC 9110, 10.2.3); 1 when it says neither.

    No more than an hour, so that an absurd one does not end the evaluation by never asking again.
    """
    if said.isdecimal():
        return min(float(said), _LONGEST_REST_S)
    try:
        seconds = (parsedate_to_datetime(said) - datetime.now(UTC)).total_seconds()
        return min(max(0.0, seconds), _LONGEST_REST_S)
    except (ValueError, TypeError, OverflowError):
        return 1.0
