"""Thinking between tags: what a prompt has opened, what a response says after it, and what never closed.

One rule for training, rewards and evaluation: a response is always seen whole, as if the prompt had
    opened nothing.
"""

import re
from itertools import takewhile
from typing import NamedTuple


class Tags(NamedTuple):
    """The two tags around a model's thinking."""

    open: str
    close: str


TAGS = (
    Tags("<think>", "</think>"),  # DeepSeek-R1, Qwen3, GLM, Nemotron and most others
    Tags("<thinking>", "</thinking>"),
    Tags("<thought>", "</thought>"),  # EXAONE Deep
    Tags("<reasoning>", "</reasoning>"),
    Tags("[THINK]", "[/THINK]"),  # Mistral, tokenizers of version 13
    Tags("<seed:think>", "</seed:think>"),  # Seed-OSS
    Tags("<mm:think>", "</mm:think>"),  # MiniMax M3
    Tags("<|START_THINKING|>", "<|END_THINKING|>"),  # Command A
    Tags("<|begin_of_thought|>", "<|end_of_thought|>"),  # Sky-T1, OpenThoughts
    Tags("<|channel>thought", "<channel|>"),  # Gemma 4
)
"""The tags that are known; a model with others is seen as one that does not think."""
THINK = TAGS[0]
"""The tags that are written where a text comes without any."""

_OPEN = re.compile("|".join(re.escape(tags.open) for tags in TAGS))
_CLOSE = re.compile("|".join(re.escape(tags.close) for tags in TAGS))
_OPENED = re.compile(rf"(?:{_OPEN.pattern})\s*\Z")
_CLOSED = re.compile(rf"(?:{_CLOSE.pattern})\s*\Z")
_CLOSE_OF = {tags.open: tags.close for tags in TAGS}


def is_tag(token: str) -> bool:
    """Whether a token is one of the tags, or a piece of one."""
    return any(token in tag for tags in TAGS for tag in tags)


def opened(prompt: str) -> str:
    """What a prompt says of its response already: the tag that it ends with and the blanks after it, or nothing."""
    found = _OPENED.search(prompt)
    return found[0] if found else ""


def has_closed(prompt: str) -> bool:
    """Whether a prompt ends with thinking that is over, as templates write it to keep a model from thinking.

    Most write both tags with nothing between them; DeepSeek-V3.1's writes the closing one alone.
    """
    return _CLOSED.search(prompt) is not None


def whole(prompt: str, text: str) -> str:
    """The response that a model wrote after a prompt, with the tag that the prompt has opened; never with two."""
    begun = opened(prompt)
    return text if begun and text.lstrip().startswith(begun.rstrip()) else begun + text


def rest(prompt: str, response: str) -> str:
    """What follows the prompt in a response that is written down whole: `rest(prompt, whole(prompt, text)) == text`.

    Another model's tags become those of the prompt; white space that the prompt has already is not
    said twice.
    """
    begun = opened(prompt)
    if not begun:
        return response
    tag = begun.rstrip()
    response = _with_tags(response, Tags(tag, _CLOSE_OF[tag]))
    own = _first_open(response)
    if own is None:
        return response
    text = response[: own.start()].lstrip() + response[own.end() :]
    said = takewhile(
        lambda pair: pair[0] == pair[1], zip(begun.removeprefix(tag), text, strict=False)
    )
    return text[len(list(said)) :]


def thinks(text: str) -> bool:
    """Whether there is thinking in a text: it is opened, or it closes what a prompt had opened."""
    return bool(_OPEN.search(text) or _CLOSE.search(text))


def begins_thinking(text: str) -> bool:
    """Whether the first thing that a text does is to open its thinking."""
    return _OPEN.match(text.lstrip()) is not None


def is_open(text: str) -> bool:
    """Whether a text ends in thinking that never closed, so that it has no answer."""
    return _OPEN.search(_after(text)) is not None


def closing(text: str) -> str:
    """The tag that ends the thinking in which a text ends; nothing where there is none."""
    found = _OPEN.search(_after(text))
    return _CLOSE_OF[found[0]] if found else ""


def before_the_end(text: str) -> str:
    """A text up to its last closing tag, which goes; all of it where there is none."""
    ends = list(_CLOSE.finditer(text))
    return text[: ends[-1].start()] if ends else text


def without_thinking(text: str) -> str:
    """What follows the thinking: all of a text without any, nothing of one whose thinking never closed."""
    answer = _after(text)
    return "" if _OPEN.search(answer) else answer


def without_tags(text: str) -> str:
    """Thinking and answer as one text, for verifiers that look at both."""
    return _CLOSE.sub("", _OPEN.sub("", text))


def in_tags(thought: str, answer: str = "", tags: Tags = THINK) -> str:
    """Thinking and answer that came apart as one text; without an answer the thinking has not ended."""
    begun = f"{tags.open}\n{thought.strip()}"
    return f"{begun}\n{tags.close}\n\n{answer.lstrip()}" if answer.strip() else begun


def with_opening(text: str) -> str:
    """A text that closes thinking which it never opened, as servers give it whose prompt did that, with the tag."""
    end = _CLOSE.search(text)
    if end is None or _first_open(text):
        return text
    tag = next(tags.open for tags in TAGS if tags.close == end[0])
    return f"{tag}\n{text.lstrip()}"


def learned(prompt: str, response: str) -> str:
    """What a demonstration teaches to write after a prompt; where the prompt opens thinking, one without any closes it.

    The empty thinking is that of Qwen3's template for answers without one.
    """
    begun = opened(prompt)
    if not begun:
        return with_opening(response)
    if thinks(response):
        return rest(prompt, response)
    tag = begun.rstrip()
    return rest(prompt, f"{tag}\n\n{_CLOSE_OF[tag]}\n\n{response}")


def _with_tags(text: str, tags: Tags) -> str:
    """A text with these tags in the place of those that it thinks between, which are those of its first one."""
    first = min(
        filter(None, (_OPEN.search(text), _CLOSE.search(text))),
        key=lambda found: found.start(),
        default=None,
    )
    if first is None:
        return text
    own = next(pair for pair in TAGS if first[0] in pair)
    return text.replace(own.open, tags.open).replace(own.close, tags.close)


def _after(text: str) -> str:
    """What follows the last closing tag."""
    end = 0
    for found in _CLOSE.finditer(text):
        end = found.end()
    return text[end:]


def _first_open(text: str) -> re.Match[str] | None:
    """The first opening tag, when no closing one stands before it."""
    start, end = _OPEN.search(text), _CLOSE.search(text)
    return start if start and (end is None or start.start() < end.start()) else None
