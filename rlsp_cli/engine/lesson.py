"""What SFT learns from demonstrations, as text: the same for every backend."""

from collections.abc import Sequence
from typing import NamedTuple

from transformers import PreTrainedTokenizerBase

from rlsp_cli.data import Trace
from rlsp_cli.engine.ending import turn_end
from rlsp_cli.engine.prompt import encode_prompt, trace_prompt
from rlsp_cli.errors import DataError
from rlsp_cli.recipe.schema import Data
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

    def tokens(self, tokenizer: PreTrainedTokenizerBase) -> tuple[list[int], list[int]]:
        """Token ids of what is not learned and of what is."""
        said = tokenizer(self.response, add_special_tokens=False)["input_ids"]
        return encode_prompt(self.prompt, tokenizer), [
            *said,
            *tokenizer.convert_tokens_to_ids(self.end),
        ]


def closed_traces(traces: Sequence[Trace]) -> list[Trace]:
    """The traces whose thinking ends, in the response and in the assistant's turns before it. DataError for none.

    The others were cut off, and would teach to think for ever. How many are left out is said.
    """
    kept = [trace for trace in traces if not any(map(is_open, _said(trace)))]
    if not kept:
        raise DataError(
            f"data.traces: none of {len(traces)} traces closes its thinking; name traces that were not cut"
        )
    if len(kept) < len(traces):
        print(
            f"sft: {len(traces) - len(kept)} of {len(traces)} traces left out: thinking not closed"
        )
    return kept


def lessons(
    traces: Sequence[Trace], data: Data, tokenizer: PreTrainedTokenizerBase
) -> list[Lesson]:
    """What each trace teaches, after the tag that its prompt may have opened; see `rlsp_cli.rewards.thinking`.

    DataError where the chat template closes the thinking before a response that thinks.
    """
    prompts, end = [trace_prompt(trace, data, tokenizer) for trace in traces], turn_end(tokenizer)
    pairs = list(zip(prompts, traces, strict=True))
    silent = sum(bool(opened(prompt)) and not thinks(trace.response) for prompt, trace in pairs)
    if silent:
        print(
            f"sft: {silent} of {len(traces)} traces do not think: they close the thinking that the prompt opens"
        )
    return [Lesson(prompt, _response(prompt, trace.response), end) for prompt, trace in pairs]


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
