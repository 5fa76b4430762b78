"""What a message of a conversation says, as one text: servers and data sets part thinking from the answer in many ways.

Known are DeepSeek's and vLLM's `reasoning_content`, vLLM's and OpenRouter's `reasoning`, Ollama's and gpt-oss'
`thinking`, and content as a list of parts, as Anthropic, Mistral and OpenAI have it.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from rlsp_cli.rewards.thinking import begins_thinking, in_tags, with_opening, without_tags

THOUGHTS = ("reasoning_content", "reasoning", "thinking", "reasoning_details")
"""Fields beside the content that hold thinking."""
_ABOUT = ("id", "name", "model", "language", "timestamp", "source")
"""Fields that tell of a message, and are none of its text."""
_ABOUT_PARTS = ("type", "id", "format", "signature")
"""The same, of a part of a message."""
_ANSWERS = ("text", "output_text", "input_text")
_THINKS = ("thinking", "reasoning", "reasoning_text", "summary_text", "reasoning.text", "reasoning.summary")
_UNREADABLE = ("reasoning.encrypted",)
"""Thinking that a provider keeps to itself: what a server answers is read without it, and data with it is refused."""


class _Part(NamedTuple):
    thought: bool
    text: str


def content_text(message: Mapping[str, Any]) -> str:
    """The content alone, as users and systems have it; ValueError names a part whose kind is not known."""
    return _joined([*_parts(_content(message))])


def message_text(message: Mapping[str, Any]) -> str:
    """Thinking between `<think>` tags, then the content; ValueError names a part whose kind is not known.

    Content that begins with thinking of its own is taken as it is. Thinking without any content has not ended.
    """
    content = [*_parts(_content(message))]
    text = _joined(content)
    thought = thought_of(message)
    if not thought or begins_thinking(with_opening(text)):
        return text
    return _joined([_Part(True, thought), *content])


def thought_of(message: Mapping[str, Any]) -> str:
    """The thinking in the first field that has some, without tags; nothing where none has."""
    fields = ("".join(part.text for part in _parts(message.get(name), thought=True)) for name in THOUGHTS)
    return without_tags(next(filter(None, fields), "")).strip()


def refuse_unread(message: Mapping[str, Any], text: str) -> None:
    """ValueError for a field with text that is not in what the message says: it would be lost without a word."""
    for name, value in message.items():
        if name in ("role", "from", "content", "value", *_ABOUT):
            continue
        lost = [said for said in _texts(value) if without_tags(said).strip() not in text]
        if lost:
            raise ValueError(f"field {name!r} holds text that nothing reads, {lost[0][:40]!r}; move it or remove it")


def _content(message: Mapping[str, Any]) -> Any:
    content = message.get("content")
    return message.get("value") if content is None else content


def _parts(value: Any, thought: bool = False) -> Iterator[_Part]:
    """The parts of a text, an object with a type, or a list of these."""
    if isinstance(value, str):
        if value.strip():
            yield _Part(thought, value)
    elif isinstance(value, Mapping):
        kind = value.get("type")
        if kind in _UNREADABLE:
            return
        if kind not in (*_ANSWERS, *_THINKS):
            raise ValueError(f"a part of type {kind!r} is not known; expected text or thinking")
        words = next((value[key] for key in ("thinking", "reasoning", "text", "summary") if value.get(key)), None)
        yield from _parts(words, thought or kind in _THINKS)
    elif isinstance(value, Sequence):
        for part in value:
            yield from _parts(part, thought)
    elif value is not None:
        raise ValueError(f"the content holds {type(value).__name__}, expected text or a list of parts")


def _joined(parts: Sequence[_Part]) -> str:
    """One text; each run of thinking goes between tags, and its end belongs to the answer that follows."""
    runs: list[_Part] = []
    for part in parts:
        if runs and runs[-1].thought == part.thought:
            runs[-1] = _Part(part.thought, runs[-1].text + part.text)
        else:
            runs.append(part)
    blocks = [] if not runs or runs[0].thought else [runs[0].text]
    for run, following in zip(runs, [*runs[1:], _Part(False, "")], strict=False):
        if run.thought:
            blocks.append(in_tags(run.text, following.text))
    return "\n\n".join(blocks)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str) and value.strip():
        yield value
    elif isinstance(value, Mapping):
        yield from (text for key, part in value.items() if key not in _ABOUT_PARTS for text in _texts(part))
    elif isinstance(value, Sequence) and not isinstance(value, str):
        yield from (text for part in value for text in _texts(part))
