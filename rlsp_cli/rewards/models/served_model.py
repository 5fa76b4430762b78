"""A model behind a server, asked in OpenAI's protocol, and in vLLM's where that lacks something.

Plugins run in many processes, and each would hold a copy of a model that it loads itself.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

from rlsp_cli.outside import count_of, number_of
from rlsp_cli.rewards.models.address import Address
from rlsp_cli.rewards.models.connection import Connection


class Completion(NamedTuple):
    """What a model wrote; `tokens` are ids, and `truncated` says that a limit ended it.

    Servers other than vLLM and rlsp's own may give no ids.
    """

    text: str
    tokens: list[int]
    truncated: bool


class ServedModel:
    """A model at an address; not to be shared by threads. A context manager: it holds a connection.

    Its methods raise UnansweredError where no answer comes, or none that can be read. They have no
    time limit: a call to a plugin has one. `tokens_used` counts what the model has read and written.
    """

    def __init__(self, name: str, address: Address) -> None:
        self.name, self.address, self.tokens_used = name, address, 0
        self._server = Connection(name, address)

    def complete(
        self,
        prompt: str | Sequence[int],
        *,
        count: int = 1,
        max_tokens: int = 512,
        temperature: float = 1.0,
        seed: int = 0,
        stop: Sequence[str] = (),
    ) -> list[Completion]:
        """`count` continuations of a prompt: the text that the model reads, or its token ids.

        They are drawn with `seed`, at temperature 0 the most probable tokens; a text of `stop` ends
        a continuation and is no part of it.
        """
        body = {
            "prompt": prompt if isinstance(prompt, str) else list(prompt),
            "n": count,
            "max_tokens": max_tokens,
            "temperature": temperature,
            "seed": seed,
            "stop": list(stop),
            "return_token_ids": True,
        }
        reply = self._ask("/v1/completions", body)
        with self._server.reading(reply):
            return [_completion(choice) for choice in reply["choices"]]

    def chat(
        self,
        messages: Sequence[Mapping[str, str]],
        *,
        max_tokens: int = 1024,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> str:
        """The reply to a conversation of mappings with `role` and `content`."""
        body = {
            "messages": list(messages),
            "max_tokens": max_tokens,
            "temperature": temperature,
            "seed": seed,
        }
        reply = self._ask("/v1/chat/completions", body)
        with self._server.reading(reply):
            return str(reply["choices"][0]["message"]["content"] or "")

    def tokenize(self, text: str, special: bool = False) -> list[int]:
        """Token ids of a text; with `special` also those that the tokenizer puts around a text."""
        reply = self._ask("/tokenize", {"prompt": text, "add_special_tokens": special})
        with self._server.reading(reply):
            return [int(token) for token in reply["tokens"]]

    def tokenize_prompt(self, text: str) -> list[int]:
        """Token ids of a prompt, after the special token that begins a text if there is one.

        What a chat template has rendered begins with it already, and gets no second one.
        """
        plain, whole = self.tokenize(text), self.tokenize(text, special=True)
        return plain if plain[:1] == whole[:1] else [whole[0], *plain]

    def logprobs(self, tokens: Sequence[int]) -> list[float]:
        """The log-probability of each token given those before it, in nats; 0 for the first."""
        body = {
            "prompt": list(tokens),
            "max_tokens": 1,  # the least that vLLM takes
            "temperature": 0.0,
            "prompt_logprobs": 0,  # of no tokens beside those of the prompt
        }
        reply = self._ask("/v1/completions", body)
        with self._server.reading(reply):
            found = reply["choices"][0]["prompt_logprobs"]
            return [_logprob(token, one) for token, one in zip(tokens, found, strict=True)]

    def token_scores(self, tokens: Sequence[int]) -> list[list[float]]:
        """The probabilities of the classes at each token, from a model that classifies tokens."""
        body = {"input": list(tokens), "task": "token_classify"}
        reply = self._ask("/pooling", body)
        with self._server.reading(reply):
            rows = [[_number(one) for one in row] for row in reply["data"][0]["data"]]
            if len(rows) != len(tokens):
                raise ValueError(f"scores at {len(rows)} tokens of {len(tokens)}")
            return rows

    def close(self) -> None:
        """Give up the connection."""
        self._server.close()

    def __enter__(self) -> "ServedModel":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, path: str, body: Mapping[str, Any]) -> Any:
        reply = self._server.post(path, {"model": self._id, **body})
        with self._server.reading(reply):
            self.tokens_used += _usage(reply)
        return reply

    @cached_property
    def _id(self) -> str:
        """The server's name for the model."""
        if self.address.id:
            return self.address.id
        reply = self._server.get("/v1/models")
        with self._server.reading(reply):
            return str(reply["data"][0]["id"])


def _completion(choice: Mapping[str, Any]) -> Completion:
    tokens = [int(token) for token in choice.get("token_ids") or ()]
    return Completion(str(choice["text"]), tokens, choice.get("finish_reason") == "length")


def _logprob(token: int, found: Mapping[str, Any] | None) -> float:
    """Of a prompt's token, from what vLLM says of its place; of the first it says nothing."""
    return 0.0 if found is None else _number(found[str(token)]["logprob"])


def _number(value: Any) -> float:
    number = number_of(value)
    if number is None:
        raise ValueError(f"{value!r} is no number")
    return number


def _usage(reply: Mapping[str, Any]) -> int:
    """The tokens that were read and written for a reply, as far as it says so."""
    usage = reply.get("usage") or {}
    return sum(count_of(usage.get(kind)) or 0 for kind in ("prompt_tokens", "completion_tokens"))
