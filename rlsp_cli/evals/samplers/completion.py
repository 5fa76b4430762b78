"""Requests to an OpenAI-compatible server, for completions and chat completions, and replies."""

from collections.abc import Mapping, Sequence
from json import JSONDecodeError
from typing import Any

from rlsp_cli.data.message import content_text, message_text, thought_of
from rlsp_cli.errors import NotReadyError
from rlsp_cli.evals.samplers.sampler import Decoding, Request, Response
from rlsp_cli.outside import count_of, number_of, read_json
from rlsp_cli.rewards.thinking import closing, whole, with_opening

_SHOWN = 80
"""Characters of a reply that an error shows."""
_SHOWN_OF_A_REFUSAL = 300
"""Characters of a server's own message that an error shows."""


def chat_body(model: str, request: Request, decoding: Decoding) -> dict[str, Any]:
    """For `chat/completions`, where the server puts its own template around the turns."""
    turns = [{"role": "system", "content": request.system}] if request.system else []
    turns.append({"role": "user", "content": request.prompt})

    body = _settings(model, decoding)
    if request.prefix:
        # As vLLM and SGLang have it: the model continues the last turn.
        turns.append({"role": "assistant", "content": request.prefix})
        body |= {"continue_final_message": True, "add_generation_prompt": False}

    if decoding.logprobs:
        body["logprobs"] = True
    return {**body, "messages": turns}


def completion_body(
    model: str, prompt: list[int], decoding: Decoding, options: Mapping[str, Any]
) -> dict[str, Any]:
    """For `completions`, with the prompt as token ids and `options` that this server knows."""
    body = {**_settings(model, decoding), **options, "prompt": prompt}
    if decoding.stop:
        body["return_token_ids"] = True  # to be continued as they are
    # Here `logprobs` is a number of alternatives to each token, not a truth value as in a chat.
    return {**body, "logprobs": 1} if decoding.logprobs else body


def read_completion(content: bytes, request: Request, stop: Sequence[str] = ()) -> Response:
    """The response in a reply, with its thinking (`rlsp_cli.rewards.thinking`).

    `stop` are the texts at which it was to end. ValueError if the reply is no completion, or does
    not say whether one of them ended it.
    """
    try:
        said = read_json(content)
        choice = said["choices"][0]
        message = choice.get("message")
        text = _chat_text(message, request) if message else _completed_text(choice["text"], request)
    # Proxies answer with pages, other servers with other JSON: nothing about its form is certain.
    except (JSONDecodeError, LookupError, TypeError, AttributeError) as error:
        shown = content.decode(errors="replace")[:_SHOWN]
        raise ValueError(f"{shown!r} is no completion; is this the right URL?") from error
    except ValueError as error:
        raise ValueError(f"the reply cannot be read: {error}") from error

    truncated = choice.get("finish_reason") == "length"
    return Response(
        text,
        _tokens(said.get("usage")),
        truncated,
        _scores(choice.get("logprobs")),
        not truncated and _has_stopped(choice, text, stop),
        tuple(choice.get("token_ids") or ()),
    )


def read_refusal(content: bytes) -> str:
    """What a server says instead of a completion, in one line; empty if it says nothing."""
    try:
        said = str(read_json(content)["error"]["message"])
    except (ValueError, LookupError, TypeError):
        said = content.decode(errors="replace")

    short = " ".join(said[:_SHOWN_OF_A_REFUSAL].split())
    if "chat template" not in said:
        return short

    # A base model has no template at all, but rlsp can ask it without one.
    return (
        f"{short}; start the server with a chat template, "
        "or let eval.serve put the problems as plain text"
    )


def _settings(model: str, decoding: Decoding) -> dict[str, Any]:
    settings = {
        "model": model,
        "temperature": decoding.temperature,
        "top_p": decoding.top_p,
        "max_tokens": decoding.max_new_tokens,
        "seed": decoding.seed,
    }
    if decoding.stop:
        # Without the second key, which vLLM and SGLang know, the text of the stop would be lost.
        stopping = {"stop": list(decoding.stop), "include_stop_str_in_output": True}
        return settings | stopping
    return settings


def _completed_text(text: Any, request: Request) -> str:
    """A completion of our own prompt, which may have opened the thinking already."""
    text = content_text({"content": text})
    return text if request.prefix else whole(request.prompt, text)


def _chat_text(message: Mapping[str, Any], request: Request) -> str:
    """A reply to a chat: thinking that the server took out goes back between its tags."""
    if not request.prefix:
        return with_opening(message_text(message))

    # What continues a prefix goes on with its thinking or its answer, and opens nothing.
    end, thought, answer = closing(request.prefix), thought_of(message), content_text(message)
    return f"{thought}\n{end}\n\n{answer}" if end and thought and answer else thought + answer


def _has_stopped(choice: Mapping[str, Any], text: str, stop: Sequence[str]) -> bool:
    """Whether one of the texts `stop` ended a reply; NotReadyError from a server that does not say."""
    if not stop or text.endswith(tuple(stop)):
        return bool(stop)

    # vLLM's key, and SGLang's: the text, or for an end token null or its number.
    for key in ("stop_reason", "matched_stop"):
        if key in choice:
            return choice[key] in stop
    # Not a ValueError, after which it would be asked again: it will never say.
    raise NotReadyError(
        "it says neither stop_reason nor matched_stop, so the end of a step cannot be told from the "
        "end of the response; use a server that can continue a response, such as vLLM or SGLang"
    )


def _tokens(usage: Any) -> int | None:
    """How many tokens the response has; None if the server gives no number."""
    return count_of(usage.get("completion_tokens")) if isinstance(usage, dict) else None


def _scores(logprobs: Any) -> dict[str, float]:
    """The sum of the tokens' log-probabilities; empty unless the server gives one for each."""
    try:
        chat = [token["logprob"] for token in logprobs.get("content") or ()]
        tokens = chat or logprobs.get("token_logprobs") or []
        numbers = [number for token in tokens if (number := number_of(token)) is not None]
    except (AttributeError, LookupError, TypeError):
        return {}

    # A sum over some of the tokens would make this response the likeliest of all.
    return {"logprob": sum(numbers)} if numbers and len(numbers) == len(tokens) else {}
