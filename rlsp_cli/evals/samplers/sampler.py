"""Requests, responses, and the interface that all samplers share."""

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from rlsp_cli.rewards.turns import Turns


@dataclass(frozen=True)
class Request:
    """A prompt, and which of its responses is asked for.

    `prefix` is a start of the response, to be continued, and `prefix_ids` are its tokens where the
    model wrote it itself: a text that is encoded again may become other tokens. `system` is for
    servers, which render prompts themselves; elsewhere it is in the prompt already. `seed` takes
    the place of the seed that the decoding and the request's place among others give. `metadata` has
    the columns of the problem's row, for a continuation.
    """

    id: str
    prompt: str
    index: int = 0
    prefix: str = ""
    system: str | None = None
    prefix_ids: tuple[int, ...] = ()
    seed: int | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Decoding:
    """How a model decodes: temperature 0 is greedy; `logprobs` asks for the score `logprob`.

    A response also ends once it has one of the texts `stop`, which stays in it.
    """

    temperature: float
    top_p: float
    max_new_tokens: int
    seed: int
    logprobs: bool = False
    stop: tuple[str, ...] = ()


@dataclass(frozen=True)
class Response:
    """A response; `num_tokens` is None if it is not known.

    `stopped` is True when a stop text ended it, so that it can be continued; `token_ids` are its
    tokens where the decoding has `stop` and the sampler knows them, else empty. `other_tokens` are
    what other models read and wrote for it, such as a scorer's. `turns` has what came from elsewhere
    between the model's words; `text` and `num_tokens` are the model's alone.

    `scores` are for best-of-n and votes, by scorer. The score `logprob` is the sum of the
    log-probabilities (nats, at temperature 1) of its tokens.
    """

    text: str
    num_tokens: int | None = None
    truncated: bool = False
    scores: Mapping[str, float] = field(default_factory=dict)
    stopped: bool = False
    token_ids: tuple[int, ...] = ()
    other_tokens: int = 0
    turns: Turns | None = None

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Response":
        """From plain data, as `dataclasses.asdict` makes it."""
        turns = data.get("turns")
        return cls(**{**data, "turns": turns and Turns.from_json(turns)})


class Sampler(Protocol):
    """Anything that answers requests."""

    def answer(
        self, requests: Sequence[Request], decoding: Decoding, done: Container[int] = ()
    ) -> Iterator[tuple[int, Response]]:
        """(row, response) as they come, for each of the requests whose row is not in `done`.

        The same requests and decoding give the same responses, whatever was done before: a resumed
        evaluation ends as an uninterrupted one does.
        """
        ...


def answers(sampler: Sampler, requests: Sequence[Request], decoding: Decoding) -> list[Response]:
    """A response to each request, in the order of the requests."""
    responses = dict(sampler.answer(requests, decoding))
    return [responses[row] for row in sorted(responses)]
