"""What a model can be asked, read from the bodies of requests."""

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rlsp_cli.errors import UsageError

_MOST_SEQUENCES = 1024
"""Continuations in one request."""


class Question(BaseModel):
    """A body; keys that it does not know are left alone, as OpenAI's clients send many."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    @classmethod
    def read(cls, body: bytes) -> Self:
        """From JSON; UsageError that names the key which is wrong."""
        try:
            return cls.model_validate_json(body)
        except ValidationError as error:
            first = error.errors()[0]
            raise UsageError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error


class _Drawn(Question):
    """How continuations are drawn."""

    n: Annotated[int, Field(ge=1, le=_MOST_SEQUENCES)] = 1
    max_tokens: Annotated[int, Field(ge=1)] = 16
    temperature: Annotated[float, Field(ge=0)] = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    seed: int = 0
    stop: tuple[str, ...] | str | None = ()

    @property
    def stops(self) -> tuple[str, ...]:
        """The texts that end a continuation."""
        return (self.stop,) if isinstance(self.stop, str) else self.stop or ()


class Completions(_Drawn):
    """Continuations of a prompt, or the log-probabilities of the prompt's own tokens."""

    prompt: str | list[int]
    prompt_logprobs: int | None = None


class Chat(_Drawn):
    """Replies to a conversation."""

    messages: Annotated[list[Mapping[str, Any]], Field(min_length=1)]
    max_tokens: Annotated[int, Field(ge=1)] = 1024


class Tokenize(Question):
    """A text as token ids."""

    prompt: str
    add_special_tokens: bool = True


class Pooling(Question):
    """The probabilities of the classes at each token."""

    input: Annotated[list[int], Field(min_length=1)]
