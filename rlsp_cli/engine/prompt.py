"""How a problem becomes the token prompt of a model: one rule for SFT on any backend, PPO and evaluation."""

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

from rlsp_cli.data import Problem, Trace, Turn
from rlsp_cli.errors import DataError
from rlsp_cli.evals.sampler import Request
from rlsp_cli.recipe.schema import Data, Recipe


def prompt_text(problem: str, data: Data, tokenizer: PreTrainedTokenizerBase) -> str:
    """The recipe's template, inside the tokenizer's chat template when it has one."""
    return _render([("user", data.template.replace("{problem}", problem))], data, tokenizer)


def trace_prompt(trace: Trace, data: Data, tokenizer: PreTrainedTokenizerBase) -> str:
    """What comes before a demonstration's response; a conversation says itself how it asks, without `data.template`."""
    return _render(trace.turns, data, tokenizer) if trace.turns else prompt_text(trace.prompt, data, tokenizer)


def _render(turns: Sequence[Turn], data: Data, tokenizer: PreTrainedTokenizerBase) -> str:
    """The turns as the model sees them when it is to answer; `data.system` first when no turn is a system's."""
    if data.system and turns[0][0] != "system":
        turns = [("system", data.system), *turns]
    if not tokenizer.chat_template:
        return "\n".join(content for _, content in turns)
    messages = [{"role": role, "content": content} for role, content in turns]
    return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))


def encode_prompt(text: str, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Token ids of a prompt; a chat template writes its own special tokens, a bare prompt gets the tokenizer's."""
    ids = tokenizer(text, add_special_tokens=not tokenizer.chat_template)["input_ids"]
    if ids and ids[-1] == tokenizer.eos_token_id:
        ids = ids[:-1]
    return list(ids)


def encode_request(request: Request, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Token ids of a prompt and of the start of the response that is to be continued."""
    return [*encode_prompt(request.prompt, tokenizer), *encode_prefix(request, tokenizer)]


def encode_prefix(request: Request, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Token ids of that start; none where a response begins anew."""
    return list(tokenizer(request.prefix, add_special_tokens=False)["input_ids"]) if request.prefix else []


def fitting(
    problems: Sequence[Problem], recipe: Recipe, tokenizer: PreTrainedTokenizerBase
) -> tuple[list[Problem], int]:
    """The problems that PPO trains on, and how many are left out: their prompts exceed `ppo.max_prompt_tokens`.

    DataError when none is left.
    """
    assert recipe.ppo, "checked by the recipe"
    limit = recipe.ppo.max_prompt_tokens
    lengths = [len(encode_prompt(prompt_text(p.problem, recipe.data, tokenizer), tokenizer)) for p in problems]
    kept = [problem for problem, length in zip(problems, lengths, strict=True) if length <= limit]
    if not kept:
        raise DataError(
            f"ppo: all {len(problems)} prompts are longer than ppo.max_prompt_tokens {limit}; "
            f"the shortest has {min(lengths)} tokens; raise it"
        )
    return kept, len(problems) - len(kept)


def encode_response(text: str, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Token ids of a response, ended by the end token."""
    return [*tokenizer(text, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
