"""Counting response tokens where no engine did: in the service, and when rewards are tried."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rlsp_cli.errors import NotReadyError
from rlsp_cli.recipe.schema import Model
from rlsp_cli.rewards.thinking import is_tag

WORD = r"\\boxed\{|\w+|[^\w\s]"
"""A token of the word-level tokenizer that models from scratch get."""


def word_split() -> Any:
    """The pre-tokenizer of models from scratch."""
    from tokenizers import Regex, pre_tokenizers

    return pre_tokenizers.Split(Regex(WORD), "removed", invert=True)


def token_counter(model: Model, tokenizer: str | None = None) -> Callable[[str], int] | None:
    """Counts the tokens of a response as the model would, its end token included; None when the model is not known.

    `tokenizer` is a folder or a hub id; the recipe's model when not given.
    """
    if tokenizer is None and model.path is None:
        if model.from_scratch is None:
            return None
        split = word_split()
        return lambda text: len(split.pre_tokenize_str(text)) + 1
    loaded = _load(tokenizer or str(model.path))
    return lambda text: len(loaded.encode(text, add_special_tokens=False).ids) + 1


def special_tokens(model: Model, tokenizer: str | None = None) -> list[str]:
    """Special tokens that may end a response, the longest first; none for models from scratch.

    Tags of thinking, which are special tokens of some models, end none.
    """
    if tokenizer is None and model.path is None:
        return []
    added = _load(tokenizer or str(model.path)).get_added_tokens_decoder().values()
    return sorted(
        (token.content for token in added if token.special and not is_tag(token.content)),
        key=len,
        reverse=True,
    )


def _load(name: str) -> Any:
    from tokenizers import Tokenizer

    file = Path(name) / "tokenizer.json"
    repository, _, revision = name.partition("@")
    try:
        return (
            Tokenizer.from_file(str(file))
            if file.is_file()
            else Tokenizer.from_pretrained(repository, revision or "main")
        )
    except Exception as error:  # the library raises plain Exception
        reason = str(error).strip().partition("\n")[0]
        raise NotReadyError(
            f"{name}: no tokenizer to count tokens with: {reason}; name a folder that has one"
        ) from error
