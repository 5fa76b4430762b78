"""Count the tokens of responses where no engine did: in the service, and in `rlsp reward try`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rlsp_cli.errors import NotReadyError
from rlsp_cli.recipe.model import Model
from rlsp_cli.rewards.thinking import is_tag

WORD = r"\\boxed\{|\w+|[^\w\s]"
"""A token of the word-level tokenizer that models from scratch get."""


def word_split() -> Any:
    """The pre-tokenizer of models from scratch."""
    from tokenizers import Regex, pre_tokenizers

    return pre_tokenizers.Split(Regex(WORD), "removed", invert=True)


def token_counter(model: Model, tokenizer: str | None = None) -> Callable[[str], int] | None:
    """A function that counts the tokens of a response; None if the model is not known.

    It counts as the model does, the end token included. `tokenizer` is a folder or a hub id, by
    default the recipe's model.
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

    Tags of thinking are left out, which are special tokens of some models.
    """
    if tokenizer is None and model.path is None:
        return []

    added = _load(tokenizer or str(model.path)).get_added_tokens_decoder().values()
    endings = [token.content for token in added if token.special and not is_tag(token.content)]

    # The longest first, since one may be the end of another.
    return sorted(endings, key=len, reverse=True)


def _load(name: str) -> Any:
    """A tokenizer from a folder or from the hub."""
    from tokenizers import Tokenizer

    file = Path(name) / "tokenizer.json"
    repository, _, revision = name.partition("@")
    try:
        if file.is_file():
            return Tokenizer.from_file(str(file))
        return Tokenizer.from_pretrained(repository, revision or "main")
    except Exception as error:  # the library raises plain Exception
        reason = str(error).strip().partition("\n")[0]
        words = f"{name}: no tokenizer to count tokens with: {reason}"
        raise NotReadyError(f"{words}; name a folder that has one") from error
