"""What ends a response: the token that ends a turn in the chat template, in training and decoding alike."""

import sys
from collections.abc import Iterable

import jinja2
from transformers import (
    AutoConfig,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from rlsp_cli.engine.source import source_of
from rlsp_cli.errors import DataError, NotReadyError
from rlsp_cli.terminal import print

_SAID = "what the assistant said"


def turn_end(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """The tokens with which the chat template ends an assistant's turn; else the tokenizer's end token alone.

    They are those that follow the content at once, not beyond the tokenizer's end token: white
    space and what the template writes before the next turn are not the model's to say.
    """
    text, known, found = after_a_turn(tokenizer), whole_tokens(tokenizer), []
    while (token := next(filter(text.startswith, known), None)) is not None:
        found.append(token)
        text = text.removeprefix(token)
        if token == tokenizer.eos_token:
            break
    return found or [tokenizer.eos_token]


def adopt_turn_end(tokenizer: PreTrainedTokenizerBase) -> None:
    """Make the token that ends a turn the tokenizer's end token; say so, and where the template has none to make."""
    before, end, text = tokenizer.eos_token, turn_end(tokenizer)[-1], after_a_turn(tokenizer)
    if end != before:
        tokenizer.add_special_tokens({"eos_token": end})
        print(
            f"note: responses end with {end}, as turns do in the chat template; the tokenizer says {before}",
            file=sys.stderr,
        )
    elif text and not text.startswith(end):
        written = text.split()[0]
        print(
            f"note: the chat template ends turns with {written!r}, which is no token of this tokenizer; responses end "
            f"with {end}. To make it a token, name it in model.special_tokens",
            file=sys.stderr,
        )


def end_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """Every token that ends a response: the tokenizer's, and those of the model's generation settings."""
    return {tokenizer.eos_token_id, *_listed(model.generation_config)}


def refuse_unreachable_end(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """NotReadyError when the model has no logit for any of its end tokens: no response would ever end."""
    words = model.get_output_embeddings().weight.shape[0]
    if min(end_ids(model, tokenizer)) >= words:
        raise NotReadyError(
            f"the end token {tokenizer.eos_token} has the id {tokenizer.eos_token_id}, and the model knows ids below "
            f"{words}: no response could end; use the tokenizer that the model was trained with"
        )


def stop_at_end(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Name every end in the model's generation settings, which are saved with it and which servers read."""
    model.generation_config.eos_token_id = as_setting(end_ids(model, tokenizer))


def stated_ends(path: str) -> set[int]:
    """The end tokens in the generation settings of a folder or hub id, or in the model's configuration."""
    name, options = source_of(path)
    try:
        revision = options.get("revision", "main")
        return _listed(GenerationConfig.from_pretrained(name, revision=revision))
    except OSError:
        config = AutoConfig.from_pretrained(name, **options)
        return _listed(GenerationConfig.from_model_config(config))


def refuse_other_end(path: str, tokenizer: PreTrainedTokenizerBase) -> None:
    """DataError when a trainer that loads the model by itself would not stop where turns end in the chat template."""
    name, options = source_of(path)
    own = AutoTokenizer.from_pretrained(name, **options).eos_token_id
    if tokenizer.eos_token_id not in {own, *stated_ends(path)}:
        raise DataError(
            f"model {path!r}: turns end with {tokenizer.eos_token} in its chat template, and it does not stop there; "
            "run SFT first, whose model does, or name the token as eos_token_id in its generation_config.json"
        )


def after_a_turn(tokenizer: PreTrainedTokenizerBase) -> str:
    """What the chat template writes after an assistant's words; nothing where it cannot be told."""
    turns = [{"role": "user", "content": "a question"}, {"role": "assistant", "content": _SAID}]
    if not tokenizer.chat_template:
        return ""
    try:
        text = str(tokenizer.apply_chat_template(turns, tokenize=False))
    except (jinja2.TemplateError, TypeError, ValueError, KeyError):
        return ""  # a template that wants other turns will say so when it gets real ones
    return text.rpartition(_SAID)[2].lstrip() if _SAID in text else ""


def as_setting(ids: Iterable[int]) -> int | list[int]:
    """Token ids as generation settings have them: one alone, or a list."""
    ordered = sorted(ids)
    return ordered[0] if len(ordered) == 1 else ordered


def _listed(settings: GenerationConfig | None) -> set[int]:
    stated = settings.eos_token_id if settings else None
    return {stated} if isinstance(stated, int) else set(stated or ())


def whole_tokens(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """Tokens that are never cut into pieces, the longest first; Gemma's has some of white space, which end nothing."""
    tokens = {*tokenizer.get_added_vocab(), *tokenizer.all_special_tokens}
    return sorted(filter(str.strip, tokens), key=len, reverse=True)
