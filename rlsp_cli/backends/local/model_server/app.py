"""The server's HTTP surface, which is vLLM's as far as `rlsp_cli.rewards.models` asks for it."""

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from rlsp_cli.backends.local.model_server.batches import Batches
from rlsp_cli.backends.local.model_server.model import Continue, Model, Way
from rlsp_cli.backends.local.model_server.questions import (
    Chat,
    Completions,
    Pooling,
    Tokenize,
)
from rlsp_cli.engine.decode import Generated
from rlsp_cli.engine.prompt import decode, encode_prompt, encode_texts
from rlsp_cli.errors import RlspError, UsageError

_LOOK_EVERY_S = 0.5
"""Seconds between two looks whether somebody still waits for an answer."""
_GONE = 499
"""Status for nobody: the client has gone."""

Endpoint = Callable[[Request], Awaitable[Response]]


class GoneError(Exception):
    """The client has closed the connection."""


@dataclass(frozen=True)
class ModelServer:
    """The endpoints of one model; all but /health ask for the `key`."""

    model: Model
    key: str
    batches: Batches = field(default_factory=Batches)

    def app(self) -> Starlette:
        """The ASGI application."""
        asked = {
            "/v1/completions": self.completions,
            "/v1/chat/completions": self.chat,
            "/tokenize": self.tokenize,
            "/pooling": self.pooling,
        }
        routes = [Route(path, self._guarded(do), methods=["POST"]) for path, do in asked.items()]
        routes += [Route("/v1/models", self._guarded(self.models)), Route("/health", self.health)]
        return Starlette(routes=routes)

    async def health(self, _: Request) -> Response:
        """Whether it listens, which it does once the model is loaded."""
        return JSONResponse({})

    async def models(self, _: Request) -> Response:
        """The one model."""
        one = {"id": self.model.path, "object": "model", "max_model_len": self.model.length}
        return JSONResponse({"object": "list", "data": [one]})

    async def completions(self, request: Request) -> Response:
        """Continuations of a prompt, or its log-probabilities."""
        body = Completions.read(await request.body())
        tokens = self._tokens(body.prompt)
        if body.prompt_logprobs is not None:
            return await self._logprobs(request, tokens)

        written = await self._written(request, tokens, body)
        choices = [
            {"index": number, **self._choice(tokens, generated, body.stops)}
            for number, generated in enumerate(written)
        ]
        return JSONResponse({"choices": choices, "usage": _usage(tokens, written)})

    async def chat(self, request: Request) -> Response:
        """Replies to a conversation, by the tokenizer's chat template if it has one."""
        body = Chat.read(await request.body())
        tokens = self._tokens(self._rendered(body))
        written = await self._written(request, tokens, body)

        choices = []
        for number, generated in enumerate(written):
            choice = self._choice([], generated, body.stops)
            message = {"role": "assistant", "content": choice.pop("text").strip()}
            choices.append({"index": number, "message": message, **choice})
        return JSONResponse({"choices": choices, "usage": _usage(tokens, written)})

    async def tokenize(self, request: Request) -> Response:
        """Token ids of a text."""
        body = Tokenize.read(await request.body())
        special = body.add_special_tokens
        (tokens,) = encode_texts([body.prompt], self.model.tokenizer, add_special_tokens=special)
        return JSONResponse({"tokens": tokens, "count": len(tokens)})

    async def pooling(self, request: Request) -> Response:
        """The probabilities of the classes at each token."""
        tokens = Pooling.read(await request.body()).input
        self.model.refuse_long(tokens, 0)
        rows = await self._answer(request, "classes", self.model.classes, tokens)
        return JSONResponse({"data": [{"index": 0, "data": rows}], "usage": _usage(tokens, ())})

    async def _logprobs(self, request: Request, tokens: list[int]) -> Response:
        self.model.refuse_long(tokens, 0)
        found = await self._answer(request, "logprobs", self.model.logprobs, tokens)
        places = [{str(id): {"logprob": logp}} for id, logp in zip(tokens[1:], found, strict=True)]
        choice = {"index": 0, "text": "", "token_ids": [], "prompt_logprobs": [None, *places]}
        return JSONResponse({"choices": [choice], "usage": _usage(tokens, ())})

    async def _written(
        self, request: Request, tokens: list[int], body: Completions | Chat
    ) -> Sequence[Generated]:
        self.model.refuse_long(tokens, body.max_tokens)
        way = Way(body.max_tokens, body.temperature, body.top_p, body.stops)
        task = Continue(tuple(tokens), body.n, body.seed)
        written: Sequence[Generated] = await self._answer(
            request, way, lambda tasks: self.model.continuations(way, tasks), task
        )
        return written

    async def _answer(
        self, request: Request, alike: Hashable, do: Callable[[Sequence[Any]], Any], task: Any
    ) -> Any:
        """The result of a task; GoneError, and no work, once nobody waits for it."""
        asked = self.batches.submit(alike, do, task)
        answer = asyncio.wrap_future(asked)
        while not (await asyncio.wait([answer], timeout=_LOOK_EVERY_S))[0]:
            if await request.is_disconnected():
                answer.cancel()
                raise GoneError
        return answer.result()

    def _tokens(self, prompt: str | list[int]) -> list[int]:
        return encode_prompt(prompt, self.model.tokenizer) if isinstance(prompt, str) else prompt

    def _rendered(self, body: Chat) -> str:
        tokenizer = self.model.tokenizer
        if not tokenizer.chat_template:
            return "\n".join(str(message.get("content", "")) for message in body.messages)
        messages = [dict(message) for message in body.messages]
        try:
            return str(
                tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
            )
        except Exception as error:  # a template raises what it likes
            raise UsageError(f"the chat template refuses these messages: {error}") from error

    def _choice(
        self, prompt: Sequence[int], generated: Generated, stops: Sequence[str]
    ) -> dict[str, Any]:
        """One continuation, without the text that stopped it."""
        # Many tokenizers drop the blank before a text's first word, so both are decoded.
        before, both = decode([prompt, [*prompt, *generated.tokens]], self.model.tokenizer)
        text = both[len(before) :]
        found = [place for stop in stops if (place := text.find(stop)) >= 0]
        reason = "length" if generated.truncated else "stop"
        text = text[: min(found)] if found else text
        return {"text": text, "token_ids": generated.tokens, "finish_reason": reason}

    def _guarded(self, endpoint: Endpoint) -> Endpoint:
        """The endpoint for those who have the key; what is wrong with a request is said in JSON."""

        async def guarded(request: Request) -> Response:
            given = request.headers.get("Authorization", "")
            if not hmac.compare_digest(given.encode(), f"Bearer {self.key}".encode()):
                return _refusal(401, "a key is needed")
            try:
                return await endpoint(request)
            except RlspError as error:
                return _refusal(400, str(error))
            except GoneError:
                return _refusal(_GONE, "the client has gone")

        return guarded


def _refusal(status: int, message: str) -> Response:
    return JSONResponse({"error": {"message": message, "code": status}}, status)


def _usage(prompt: Sequence[int], written: Sequence[Generated]) -> dict[str, int]:
    return {
        "prompt_tokens": len(prompt),
        "completion_tokens": sum(len(generated.tokens) for generated in written),
    }
