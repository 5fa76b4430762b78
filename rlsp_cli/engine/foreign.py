"""Texts from elsewhere as tokens: encoded once, and never as special tokens of the tokenizer."""

import re
from collections.abc import Iterator

import jinja2
from transformers import PreTrainedTokenizerBase

from rlsp_cli.engine.ending import whole_tokens
from rlsp_cli.engine.prompt import encode_texts
from rlsp_cli.errors import DataError

_SAID, _HEARD = "what the assistant said", "what the user answered"


class ForeignText:
    """Encodes what others say after a model's words; DataError for a template without such turns."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.tokenizer = tokenizer
        self.before, self.after = _markers(tokenizer)
        # A token of one character cannot be cut, and the one for unknown words means no more.
        names = [name for name in whole_tokens(tokenizer) if len(name) > 1]
        self._names = re.compile("|".join(map(re.escape, names)) or r"(?!)")
        self._special = set(tokenizer.convert_tokens_to_ids(names)) - {tokenizer.unk_token_id}

    def encode(self, text: str) -> list[int]:
        """Tokens of a text; the names of special tokens in it become those of ordinary words."""
        encoded = encode_texts(list(self._cut(text)), self.tokenizer)
        # A normaliser can make a special token of a text that does not have its name.
        return [id for ids in encoded for id in ids if id not in self._special]

    def as_turn(self, tokens: list[int], end: int) -> list[int]:
        """The tokens as a user's turn of the chat template, after the model's `end` token.

        Up to where the model is to answer. Without a template they follow as they are.
        """
        name = str(self.tokenizer.convert_ids_to_tokens(end))
        before = self.before.partition(name)[2] if name in self.before else self.before
        opening, closing = encode_texts([before, self.after], self.tokenizer)
        return [*opening, *tokens, *closing]

    def _cut(self, text: str) -> Iterator[str]:
        """Pieces of the text, each name of a special token parted after its first character."""
        start = 0
        while found := self._names.search(text, start):
            cut = found.start() + 1
            yield text[start:cut]
            start = cut
        yield text[start:]


def _markers(tokenizer: PreTrainedTokenizerBase) -> tuple[str, str]:
    """What the chat template writes from the assistant's words to a user's, and after these."""
    if not tokenizer.chat_template:
        return "", ""

    roles = [("user", "a question"), ("assistant", _SAID), ("user", _HEARD)]
    turns = [{"role": role, "content": content} for role, content in roles]
    try:
        text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    except (jinja2.TemplateError, TypeError, ValueError, KeyError) as error:
        raise DataError(
            f"continuation: the chat template refuses a second turn: {error}"
        ) from error

    before, heard, after = str(text).rpartition(_SAID)[2].partition(_HEARD)
    if not heard:
        raise DataError("continuation: the chat template changes the words of turns")
    return before, after
