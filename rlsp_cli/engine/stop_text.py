"""Texts at which a response ends, looked for while it is written."""

from collections.abc import Callable, Sequence

from transformers import PreTrainedTokenizerBase

from rlsp_cli.engine.prompt import decode

_TOKENS_PER_CHARACTER = 4
"""The most that a tokenizer makes of one character: its bytes in UTF-8."""


def stops_at(
    texts: Sequence[str], tokenizer: PreTrainedTokenizerBase
) -> Callable[[Sequence[int]], bool] | None:
    """Whether the last of a response's tokens completes one of these texts; None without texts."""
    if not texts:
        return None

    # Only the last tokens: earlier ones were looked at when they were the last.
    most = _TOKENS_PER_CHARACTER * max(map(len, texts))

    def stops(tokens: Sequence[int]) -> bool:
        (end,) = decode([tokens[-most:]], tokenizer)
        return any(text in end for text in texts)

    return stops
