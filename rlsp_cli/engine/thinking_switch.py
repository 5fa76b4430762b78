"""The variable by which a chat template switches thinking on and off."""

from collections.abc import Mapping

from transformers import PreTrainedTokenizerBase

from rlsp_cli.errors import RecipeError
from rlsp_cli.recipe.eval import Thinking

_VARIABLES = ("enable_thinking", "thinking")
"""Of Qwen3, SmolLM3 and GLM; of DeepSeek and Granite."""


def switched(tokenizer: PreTrainedTokenizerBase, thinking: Thinking | None) -> Mapping[str, bool]:
    """The template's variable with its value; nothing if `thinking` is None.

    RecipeError if no such variable changes the prompt.
    """
    if thinking is None:
        return {}

    # Asked by rendering: a template may name a variable and still not use it in a prompt.
    for name in _VARIABLES:
        if _prompt(tokenizer, name, True) != _prompt(tokenizer, name, False):
            return {name: thinking == "on"}

    raise RecipeError(
        f"eval.thinking: {thinking}: the model's chat template has no switch "
        f"({' or '.join(_VARIABLES)}); leave it out, or name a template by model.chat_template"
    )


def _prompt(tokenizer: PreTrainedTokenizerBase, variable: str, value: bool) -> str:
    if not tokenizer.chat_template:
        return ""
    turns = [{"role": "user", "content": "1 + 1?"}]
    return str(
        tokenizer.apply_chat_template(
            turns, tokenize=False, add_generation_prompt=True, **{variable: value}
        )
    )
