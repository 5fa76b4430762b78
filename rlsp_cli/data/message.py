"""A message of a conversation as one text, with its thinking between tags.

Servers and data sets separate thinking from the answer in many ways. Known are `reasoning_content`
(DeepSeek, vLLM), `reasoning` (vLLM, OpenRouter), `thinking` (Ollama, gpt-oss), and content as a
list of parts (Anthropic, Mistral, OpenAI).
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from rlsp_cli.rewards.thinking import begins_thinking, in_tags, with_opening, without_tags

THOUGHTS = ("reasoning_content", "reasoning", "thinking", "reasoning_details")
"""Fields beside the content that hold thinking."""
_ABOUT = ("id", "name", "model", "language", "timestamp", "source")
"""Fields that describe a message, and hold none of its text."""
_ABOUT_PARTS = ("type", "id", "format", "signature")
"""The same, of a part of a message."""
_ANSWERS = ("text", "output_text", "input_text")
"""Types of parts that are the answer."""
_THINKS = (
    "thinking",
    "reasoning",
    "reasoning_text",
    "summary_text",
    "reasoning.text",
    "reasoning.summary",
)
"""Types of parts that are thinking."""
_UNREADABLE = ("reasoning.encrypted",)
"""Thinking that a provider encrypts: read over in a server's answer, refused in data."""
_PART_TEXTS = ("thinking", "reasoning", "text", "summary")
"""Where the text of a part may be; the first that is not empty."""
_SHOWN = 40
"""Characters of a text in a message."""


class _Part(NamedTuple):
    is_thought: bool
    text: str


def content_text(message: Mapping[str, Any]) -> str:
    """The content alone, for users' and system messages; ValueError for a part of unknown type."""
    return _joined([*_parts(_content(message))])


def message_text(message: Mapping[str, Any]) -> str:
    """Thinking between `<think>` tags, then the content; ValueError for a part of unknown type.

    Content that begins with thinking itself is unchanged. Thinking without content is left open,
    since it was cut off.
    """
    content = [*_parts(_content(message))]
    text = _joined(content)

    thought = thought_of(message)
    if not thought or begins_thinking(with_opening(text)):
        return text
    return _joined([_Part(True, thought), *content])


def thought_of(message: Mapping[str, Any]) -> str:
    """The thinking in the first field that has some, without tags; empty where none has."""
    for name in THOUGHTS:
        text = "".join(part.text for part in _parts(message.get(name), is_thought=True))
        if text:
            return without_tags(text).strip()
    return ""


def refuse_unread(message: Mapping[str, Any], text: str) -> None:
    """ValueError for a field whose text is not in `text`: it would be lost silently."""
    for name, value in message.items():
        # These are read elsewhere, or hold no text of the message.
        if name in ("role", "from", "content", "value", *_ABOUT):
            continue

        for part in _texts(value):
            if without_tags(part).strip() not in text:
                shown = part[:_SHOWN]
                raise ValueError(
                    f"field {name!r} holds text that nothing reads, {shown!r}; move or remove it"
                )


def _content(message: Mapping[str, Any]) -> Any:
    content = message.get("content")
    return message.get("value") if content is None else content


def _parts(value: Any, is_thought: bool = False) -> Iterator[_Part]:
    """The parts of a text, an object with a type, or a list of these."""
    # Blank text is left out: some servers send an empty content beside the thinking.
    if isinstance(value, str):
        if value.strip():
            yield _Part(is_thought, value)
    elif isinstance(value, Mapping):
        yield from _parts_of_object(value, is_thought)
    elif isinstance(value, Sequence):
        for part in value:
            yield from _parts(part, is_thought)
    elif value is not None:
        raise ValueError(
            f"the content holds {type(value).__name__}, expected text or a list of parts"
        )


def _parts_of_object(value: Mapping[str, Any], is_thought: bool) -> Iterator[_Part]:
    kind = value.get("type")
    if kind in _UNREADABLE:
        return
    if kind not in (*_ANSWERS, *_THINKS):
        raise ValueError(f"a part of type {kind!r} is not known; expected text or thinking")

    text = next((value[key] for key in _PART_TEXTS if value.get(key)), None)
    yield from _parts(text, is_thought or kind in _THINKS)


def _joined(parts: Sequence[_Part]) -> str:
    """The parts as one text, with tags around each run of thinking."""
    runs: list[_Part] = []
    for part in parts:
        if runs and runs[-1].is_thought == part.is_thought:
            runs[-1] = _Part(part.is_thought, runs[-1].text + part.text)
        else:
            runs.append(part)

    # `in_tags` joins thinking to the answer that follows, so only a first answer is added alone.
    blocks = []
    if runs and not runs[0].is_thought:
        blocks.append(runs[0].text)
    for run, following in pairwise([*runs, _Part(False, "")]):
        if run.is_thought:
            blocks.append(in_tags(run.text, following.text))
    return "\n\n".join(blocks)


def _texts(value: Any) -> Iterator[str]:
    """All texts in a field, however deep."""
    if isinstance(value, str):
        if value.strip():
            yield value
    elif isinstance(value, Mapping):
        for key, part in value.items():
            if key not in _ABOUT_PARTS:
                yield from _texts(part)
    elif isinstance(value, Sequence):
        for part in value:
            yield from _texts(part)
