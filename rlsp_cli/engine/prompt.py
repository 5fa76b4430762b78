"""How a problem becomes the token prompt of a model: one rule for SFT, PPO and evaluation."""

from transformers import PreTrainedTokenizerBase

from rlsp_cli.recipe.schema import Data


def prompt_text(problem: str, data: Data, tokenizer: PreTrainedTokenizerBase) -> str:
    """The recipe's template, inside the tokenizer's chat template when it has one."""
    content = data.template.replace("{problem}", problem)
    if not tokenizer.chat_template:
        return f"{data.system}\n{content}" if data.system else content
    system = [{"role": "system", "content": data.system}] if data.system else []
    return str(
        tokenizer.apply_chat_template(
            [*system, {"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
        )
    )


def encode_prompt(text: str, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Token ids of a prompt; a chat template writes its own special tokens, a bare prompt gets the tokenizer's."""
    ids = tokenizer(text, add_special_tokens=not tokenizer.chat_template)["input_ids"]
    if ids and ids[-1] == tokenizer.eos_token_id:
        ids = ids[:-1]
    return list(ids)


def encode_response(text: str, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Token ids of a response, ended by the end token."""
    return [*tokenizer(text, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
