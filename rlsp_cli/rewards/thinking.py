"""Thinking between tags: opened by a prompt or a response, closed or not.

One rule for training, rewards and evaluation: a response is always whole, as if its prompt had
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
"""The known tags; with any others, a model counts as one that does not think."""
THINK = TAGS[0]
"""The tags to write where a text comes without any."""

_OPEN = re.compile("|".join(re.escape(tags.open) for tags in TAGS))
_CLOSE = re.compile("|".join(re.escape(tags.close) for tags in TAGS))
_OPENED = re.compile(rf"(?:{_OPEN.pattern})\s*\Z")
_CLOSED = re.compile(rf"(?:{_CLOSE.pattern})\s*\Z")
_CLOSE_OF = {tags.open: tags.close for tags in TAGS}


def is_tag(token: str) -> bool:
    """Whether a token is one of the tags, or a piece of one."""
    return any(token in tag for tags in TAGS for tag in tags)


def opened(prompt: str) -> str:
    """The opening tag at the end of a prompt, with the white space after it; else an empty text."""
    found = _OPENED.search(prompt)
    return found[0] if found else ""


def has_closed(prompt: str) -> bool:
    """Whether a prompt ends with a closing tag, by which templates keep a model from thinking.

    Most write both tags with nothing between them; DeepSeek-V3.1's writes the closing one alone.
    """
    return _CLOSED.search(prompt) is not None


def whole(prompt: str, text: str) -> str:
    """The response that a model wrote after a prompt, with the tag that the prompt has opened."""
    begun = opened(prompt)

    # Some servers put the tag in front themselves.
    return text if begun and text.lstrip().startswith(begun.rstrip()) else begun + text


def rest(prompt: str, response: str) -> str:
    """The part of a whole response that the prompt does not have: the inverse of `whole`.

    Another model's tags become those of the prompt; white space that the prompt has already is not
    repeated.
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
    blanks = zip(begun.removeprefix(tag), text, strict=False)
    shared = takewhile(lambda pair: pair[0] == pair[1], blanks)
    return text[len(list(shared)) :]


def thinks(text: str) -> bool:
    """Whether a text contains thinking: an opening tag, or the closing one of a prompt's."""
    return bool(_OPEN.search(text) or _CLOSE.search(text))


def begins_thinking(text: str) -> bool:
    """Whether a text begins with an opening tag."""
    return _OPEN.match(text.lstrip()) is not None


def is_open(text: str) -> bool:
    """Whether a text ends within its thinking, so that it has no answer."""
    return _OPEN.search(_after(text)) is not None


def closing(text: str) -> str:
    """The tag that would close a text's thinking, or an empty text where none is open."""
    found = _OPEN.search(_after(text))
    return _CLOSE_OF[found[0]] if found else ""


def before_the_end(text: str) -> str:
    """A text up to its last closing tag, or all of it where there is none."""
    ends = list(_CLOSE.finditer(text))
    return text[: ends[-1].start()] if ends else text


def without_thinking(text: str) -> str:
    """What follows the thinking: all of a text without any, nothing if it never closed."""
    answer = _after(text)

    # A box in thinking that was cut off is a guess, not an answer.
    return "" if _OPEN.search(answer) else answer


def without_tags(text: str) -> str:
    """Thinking and answer as one text, for verifiers that look at both."""
    return _CLOSE.sub("", _OPEN.sub("", text))


def in_tags(thought: str, answer: str = "", tags: Tags = THINK) -> str:
    """Thinking and answer, received apart, as one text; without an answer it stays unclosed."""
    begun = f"{tags.open}\n{thought.strip()}"
    return f"{begun}\n{tags.close}\n\n{answer.lstrip()}" if answer.strip() else begun


def with_opening(text: str) -> str:
    """A text with the opening tag for its closing one, which some servers leave in the prompt."""
    end = _CLOSE.search(text)
    if end is None or _first_open(text):
        return text

    tag = next(tags.open for tags in TAGS if tags.close == end[0])
    return f"{tag}\n{text.lstrip()}"


def learned(prompt: str, response: str) -> str:
    """What a demonstration teaches a model to write after a prompt.

    Where the prompt opens thinking, a demonstration without any closes it at once, in the form of
    Qwen3's template for answers without thinking.
    """
    begun = opened(prompt)
    if not begun:
        return with_opening(response)
    if thinks(response):
        return rest(prompt, response)

    tag = begun.rstrip()
    return rest(prompt, f"{tag}\n\n{_CLOSE_OF[tag]}\n\n{response}")


def _with_tags(text: str, tags: Tags) -> str:
    """A text with these tags in place of its own, which are those that occur first."""
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
    # Of each tag, since a search for any of them takes ten times as long in a long text.
    ends = [text.rfind(tags.close) + len(tags.close) for tags in TAGS if tags.close in text]
    return text[max(ends, default=0) :]


def _first_open(text: str) -> re.Match[str] | None:
    """The first opening tag, unless a closing one stands before it."""
    start, end = _OPEN.search(text), _CLOSE.search(text)
    return start if start and (end is None or start.start() < end.start()) else None
