"""How a problem becomes the token prompt of a model: one rule for SFT on any backend, PPO and evaluation."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

from transformers import PreTrainedTokenizerBase

from rlsp_cli.data import Problem, Trace, Turn
from rlsp_cli.engine.pieces import pieces
from rlsp_cli.errors import DataError
from rlsp_cli.evals.samplers import Request
from rlsp_cli.recipe.data import Data
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.rewards.thinking import is_tag, rest, whole

_NO_VARIABLES: Mapping[str, bool] = MappingProxyType({})


def prompt_text(
    problem: str,
    data: Data,
    tokenizer: PreTrainedTokenizerBase,
    variables: Mapping[str, bool] = _NO_VARIABLES,
) -> str:
    """The recipe's template, inside the tokenizer's chat template when it has one.

    `variables` are those of the chat template, beside the turns.
    """
    turn = Turn("user", data.ask(problem))
    return _render([turn], data, tokenizer, variables)


def trace_prompt(trace: Trace, data: Data, tokenizer: PreTrainedTokenizerBase) -> str:
    """What comes before a demonstration's response; a conversation says itself how it asks, without `data.template`."""
    return (
        _render(trace.turns, data, tokenizer)
        if trace.turns
        else prompt_text(trace.prompt, data, tokenizer)
    )


def _render(
    turns: Sequence[Turn],
    data: Data,
    tokenizer: PreTrainedTokenizerBase,
    variables: Mapping[str, bool] = _NO_VARIABLES,
) -> str:
    """The turns as the model sees them when it is to answer; `data.system` first when no turn is a system's."""
    if data.system and turns[0].role != "system":
        turns = [Turn("system", data.system), *turns]
    if not tokenizer.chat_template:
        return "\n".join(turn.content for turn in turns)
    messages = [{"role": turn.role, "content": turn.content} for turn in turns]
    return str(
        tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True, **variables
        )
    )


def encode_prompt(text: str, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Token ids of a prompt; a chat template writes its own special tokens, a bare prompt gets the tokenizer's."""
    return encode_prompts([text], tokenizer)[0]


def encode_prompts(texts: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> list[list[int]]:
    """The same of several prompts, in parallel."""
    encoded = encode_texts(texts, tokenizer, add_special_tokens=not tokenizer.chat_template)
    for ids in encoded:
        if ids and ids[-1] == tokenizer.eos_token_id:
            ids.pop()
    return encoded


def encode_texts(
    texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, *, add_special_tokens: bool = False
) -> list[list[int]]:
    """Token ids of several texts, in parallel where the tokenizer can."""
    if not tokenizer.is_fast:
        return list(tokenizer(list(texts), add_special_tokens=add_special_tokens)["input_ids"])

    # What `tokenizer(texts)` does, but for the places of tokens in the text: half of the time.
    backend = tokenizer.backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    backend.encode_special_tokens = tokenizer.split_special_tokens
    encoded = backend.encode_batch_fast(list(texts), add_special_tokens=add_special_tokens)
    return [encoding.ids for encoding in encoded]


def encode_request(request: Request, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Token ids of a prompt and of the start of the response that is to be continued."""
    return [*encode_prompt(request.prompt, tokenizer), *encode_prefix(request, tokenizer)]


def encode_prefix(request: Request, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Token ids of that start, but for what the prompt says of it already; none where a response begins anew."""
    if request.prefix_ids:
        return list(request.prefix_ids)
    return encode_start(request.prompt, request.prefix, tokenizer)


def encode_start(prompt: str, start: str, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Token ids of the start of a response, but for what the prompt says of it already."""
    text = rest(prompt, start)
    return list(tokenizer(text, add_special_tokens=False)["input_ids"]) if text else []


def encode_begun(
    prompts: Sequence[str], starts: Sequence[str], tokenizer: PreTrainedTokenizerBase
) -> list[list[int]]:
    """Token ids of prompts, each with the start of its response behind it."""
    encoded = zip(prompts, starts, encode_prompts(prompts, tokenizer), strict=True)
    return [[*ids, *encode_start(prompt, start, tokenizer)] for prompt, start, ids in encoded]


def fitting(
    problems: Iterable[Problem],
    recipe: Recipe,
    tokenizer: PreTrainedTokenizerBase,
    say: Callable[[str], None],
) -> Iterator[tuple[Problem, list[int]]]:
    """The problems that PPO trains on: with prompts of at most `ppo.max_prompt_tokens`, which come as token ids.

    DataError at the end if there were none. Else `say` gets how many were left out, if any.
    """
    assert recipe.ppo, "checked by the recipe"
    limit = recipe.ppo.max_prompt_tokens

    lengths: list[int] = []
    for problem, ids in encoded_problems(problems, recipe.data, tokenizer):
        lengths.append(len(ids))
        if len(ids) <= limit:
            yield problem, ids

    left_out = sum(length > limit for length in lengths)
    if left_out == len(lengths):
        raise DataError(
            f"ppo: all {len(lengths)} prompts are longer than ppo.max_prompt_tokens {limit}; "
            f"the shortest has {min(lengths)} tokens; raise it"
        )
    if left_out:
        what = "prompt, with its start," if recipe.data.has_starts else "prompt"
        reason = f"{what} longer than max_prompt_tokens={limit}"
        say(f"{left_out} of {len(lengths)} problems left out: {reason}")


def encoded_problems(
    problems: Iterable[Problem], data: Data, tokenizer: PreTrainedTokenizerBase
) -> Iterator[tuple[Problem, list[int]]]:
    """Each problem with the token ids of its prompt and start; encoded some at a time, in parallel."""
    for some in pieces(problems, lambda problem: len(problem.problem) + len(problem.start)):
        texts = [prompt_text(problem.problem, data, tokenizer) for problem in some]
        starts = [problem.start for problem in some]
        yield from zip(some, encode_begun(texts, starts, tokenizer), strict=True)


def decode_responses(
    prompts: Sequence[str], responses: Sequence[Sequence[int]], tokenizer: PreTrainedTokenizerBase
) -> list[str]:
    """What was written after each prompt, whole, without special tokens; see `rlsp_cli.rewards.thinking`."""
    texts = decode(responses, tokenizer)
    return [whole(prompt, text) for prompt, text in zip(prompts, texts, strict=True)]


def decode(sequences: Sequence[Sequence[int]], tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """Texts without special tokens, but for those that are tags of thinking."""
    if not special_tags(tokenizer):
        return list(tokenizer.batch_decode(sequences, skip_special_tokens=True))
    special = {id for id, token in tokenizer.added_tokens_decoder.items() if token.special}
    hidden = special - special_tags(tokenizer)
    shown = [[id for id in tokens if id not in hidden] for tokens in sequences]
    return list(tokenizer.batch_decode(shown, skip_special_tokens=False))


def special_tags(tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """Special tokens of which the tags of thinking are made, as in Mistral's and Cohere's tokenizers."""
    added = tokenizer.added_tokens_decoder.items()
    return {id for id, token in added if token.special and is_tag(token.content)}
