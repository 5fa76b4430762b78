"""Responses from an OpenAI-compatible endpoint."""

import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from rlsp_cli.errors import NotReadyError, UsageError
from rlsp_cli.evals.sampler import Request, Response

KEY_VARIABLE = "OPENAI_API_KEY"
"""The environment variable that holds the key; a key on the command line would be seen by everybody."""
_PARALLEL = 16
"""Requests under way at once."""
_TRIES = 5
_TIMEOUT_S = 3600.0
"""Seconds that one response may take."""


class EndpointSampler:
    """A `rlsp_cli.evals.sampler.Sampler` that asks `URL/chat/completions`; each response is a request of its own."""

    def __init__(self, url: str, model: str, system: str | None = None) -> None:
        if not url.startswith(("http://", "https://")):
            raise UsageError(f"{url!r} is no http address; expected one such as http://127.0.0.1:8000/v1")
        self.url, self.model = f"{url.rstrip('/')}/chat/completions", model
        self.system = [{"role": "system", "content": system}] if system else []

    def sample(
        self, requests: Sequence[Request], n: int, *, temperature: float, top_p: float, max_new_tokens: int, seed: int
    ) -> list[list[Response]]:
        """`n` responses to each request, in order; NotReadyError when the endpoint does not give them."""
        settings = {"model": self.model, "temperature": temperature, "top_p": top_p, "max_tokens": max_new_tokens}
        prompts = [request.prompt for request in requests for _ in range(n)]
        bodies = [
            {**settings, "seed": (seed + number) % 2**31, "messages": self._messages(prompt)}
            for number, prompt in enumerate(prompts)
        ]
        with ThreadPoolExecutor(_PARALLEL) as threads:
            asked = [threads.submit(self._response, body) for body in bodies]
            try:
                flat = [response.result() for response in asked]
            except BaseException:
                threads.shutdown(wait=False, cancel_futures=True)  # what nobody will read is not asked for
                raise
        return [flat[i * n : (i + 1) * n] for i in range(len(requests))]

    def _messages(self, prompt: str) -> list[dict[str, str]]:
        return [*self.system, {"role": "user", "content": prompt}]

    def _response(self, body: dict[str, Any]) -> Response:
        reply = self._ask(json.dumps(body).encode())
        try:
            choice = reply["choices"][0]
            text, thought = choice["message"].get("content") or "", choice["message"].get("reasoning_content")
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            raise NotReadyError(
                f"{self.url}: {str(reply)[:80]!r} is no chat completion; is this the right URL?"
            ) from error
        if thought:  # servers that part the thinking from the answer
            text = f"<think>\n{thought.strip()}\n</think>\n\n{text}"
        tokens = (reply.get("usage") or {}).get("completion_tokens")
        return Response(text, tokens, choice.get("finish_reason") == "length")

    def _ask(self, body: bytes) -> Any:
        """The reply; waits and asks again when the server is busy or not there."""
        key = os.environ.get(KEY_VARIABLE)
        headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})}
        for attempt in range(1, _TRIES + 1):
            request = urllib.request.Request(self.url, body, headers)  # noqa: S310 (http, checked above)
            try:
                with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as response:  # noqa: S310
                    return json.load(response)
            except urllib.error.HTTPError as error:
                if error.code not in (429, 500, 502, 503, 504) or attempt == _TRIES:
                    said = error.read(200).decode(errors="replace").strip().partition("\n")[0]
                    raise NotReadyError(f"{self.url}: HTTP {error.code}: {said or error.reason}") from error
                wait = error.headers.get("Retry-After", "")
                time.sleep(float(wait) if wait.isdigit() else attempt)
            except (OSError, ValueError) as error:
                if attempt == _TRIES:
                    reason = getattr(error, "reason", error)
                    raise NotReadyError(f"{self.url}: no reply: {reason}; is the server running?") from error
                time.sleep(attempt)
        raise AssertionError("the last try returns or raises")
