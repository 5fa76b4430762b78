"""Responses from an OpenAI-compatible server: vLLM, SGLang, llama.cpp, or a provider's API."""

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from rlsp_cli.errors import UsageError
from rlsp_cli.evals.samplers.completion import chat_body, completion_body, read_completion
from rlsp_cli.evals.samplers.endpoint import Endpoint, Question
from rlsp_cli.evals.samplers.sampler import Decoding, Request, Response
from rlsp_cli.http import read_key, valid_key

KEY_VARIABLE = "OPENAI_API_KEY"
"""The environment variable that holds the key; other users of the machine see command lines."""

_SEEDS = 2**31
"""Servers take seeds of 32 bits, with a sign."""


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

        self.model, self.encode = model, encode
        self.options = dict(options or {})
        path = "/completions" if encode else "/chat/completions"
        self.endpoint = Endpoint(url.rstrip("/") + path, _key(key), batch, tick)

    def answer(
        self, requests: Sequence[Request], decoding: Decoding, done: Container[int] = ()
    ) -> Iterator[tuple[int, Response]]:
        """The responses as they come; NotReadyError when the server gives none.

        Ending the iteration cancels what is under way.
        """
        rows = (row for row in range(len(requests)) if row not in done)
        questions = ((row, self._question(requests[row], decoding, row)) for row in rows)
        yield from self.endpoint.replies(questions)

    def _question(self, request: Request, decoding: Decoding, row: int) -> Question[Response]:
        # By place, so that the order in which responses come back does not matter.
        seed = decoding.seed + row if request.seed is None else request.seed
        seeded = replace(decoding, seed=seed % _SEEDS)
        read = partial(read_completion, request=request, stop=decoding.stop)
        return Question(self._body(request, seeded), read, f"problem {request.id!r}")

    def _body(self, request: Request, decoding: Decoding) -> dict[str, Any]:
        if self.encode:
            return completion_body(self.model, self.encode(request), decoding, self.options)
        return chat_body(self.model, request, decoding)


def _key(given: str | None) -> str:
    """The given key or that of the environment; UsageError for one that no header can hold."""
    try:
        return valid_key(given, KEY_VARIABLE) if given else read_key(KEY_VARIABLE)
    except ValueError as error:
        raise UsageError(str(error)) from error
