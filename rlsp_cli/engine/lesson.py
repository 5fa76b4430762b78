"""What SFT learns from demonstrations, as text: the same for every backend."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from transformers import PreTrainedTokenizerBase

from rlsp_cli.data import Trace
from rlsp_cli.engine.ending import turn_end
from rlsp_cli.engine.prompt import encode_prompts, encode_texts, trace_prompt
from rlsp_cli.errors import DataError
from rlsp_cli.recipe.data import Data
from rlsp_cli.rewards.thinking import (
    has_closed,
    is_open,
    learned,
    opened,
    thinks,
    without_tags,
    without_thinking,
)
from rlsp_cli.terminal import print


class Lesson(NamedTuple):
    """A prompt, which is not learned, and what is: the response and the tokens that end it."""

    prompt: str
    response: str
    end: list[str]


def encode_lessons(
    lessons: Sequence[Lesson], tokenizer: PreTrainedTokenizerBase
) -> list[tuple[list[int], list[int]]]:
    """Token ids of each lesson: what is not learned, and what is."""
    prompts = encode_prompts([lesson.prompt for lesson in lessons], tokenizer)
    said = encode_texts([lesson.response for lesson in lessons], tokenizer)

    found = []
    for lesson, prompt, response in zip(lessons, prompts, said, strict=True):
        end = tokenizer.convert_tokens_to_ids(lesson.end)
        found.append((prompt, [*response, *end]))
    return found


def is_closed(trace: Trace) -> bool:
    """Whether the thinking ends, in the response and in the assistant's turns before it."""
    return not any(map(is_open, _said(trace)))


def closed_traces(traces: Iterable[Trace], say: Callable[[str], None] = print) -> Iterator[Trace]:
    """The traces whose thinking ends. DataError at the end if there were none.

    The others were cut off, and would teach to think for ever. At the end `say` gets how many were
    left out.
    """
    read = kept = 0
    for trace in traces:
        read += 1
        if is_closed(trace):
            kept += 1
            yield trace

    if not kept:
        raise DataError(
            f"data.traces: none of {read} traces closes its thinking; name traces that were not cut"
        )
    if kept < read:
        say(f"sft: {read - kept} of {read} traces left out: thinking not closed")


def lessons(
    traces: Iterable[Trace],
    data: Data,
    tokenizer: PreTrainedTokenizerBase,
    say: Callable[[str], None] = print,
) -> Iterator[Lesson]:
    """What each trace teaches, after the tag that its prompt may have opened; see `rlsp_cli.rewards.thinking`.

    DataError where the chat template closes the thinking before a response that thinks. At the end
    `say` gets how many do not think where they should.
    """
    end, read, silent = turn_end(tokenizer), 0, 0
    for trace in traces:
        prompt = trace_prompt(trace, data, tokenizer)
        read += 1
        silent += bool(opened(prompt)) and not thinks(trace.response)
        yield Lesson(prompt, _response(prompt, trace.response), end)

    if silent:
        say(
            f"sft: {silent} of {read} traces do not think: they close the thinking that the prompt opens"
        )


def _said(trace: Trace) -> list[str]:
    """What the assistant says in a trace."""
    return [*(text for role, text in trace.turns if role == "assistant"), trace.response]


def _response(prompt: str, response: str) -> str:
    if not has_closed(prompt) or not thinks(response):
        return learned(prompt, response)
    answer = without_thinking(response)
    if without_tags(response.removesuffix(answer)).strip():
        raise DataError(
            f"data.traces: the chat template closes the thinking before the response ({prompt[-24:]!r}), and traces "
            "think; give a template that leaves it open by model.chat_template"
        )
    return answer.lstrip()
