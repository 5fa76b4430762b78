"""Whether prompts reach the model as it was trained to read them, and whether replies can end."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rlsp_cli.preflight.checked import Check, Checked
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.terminal import printable

if TYPE_CHECKING:
    from rlsp_cli.backends.local.prompt_facts import PromptFacts

TEMPLATE = Check("chat template", "an instruct model reads turns, and a base model plain text")
END = Check("end token", "the token that ends turns in the chat template ends replies")
_INSTRUCT = re.compile(r"instruct|chat|(?:^|[-_])it(?:$|[-_@])", re.I)
"""Names of models that are trained on turns."""
_SHOWN = 160
"""Characters of a prompt that are shown."""


def look_at_prompts(recipe: Recipe, tokenized: Recipe) -> Iterator[Checked]:
    """The checks above; `tokenized` is the recipe with a tokenizer and prompts on this machine."""
    from rlsp_cli.backends.local.prompt_facts import prompt_facts  # transformers

    if tokenized.data.prompts:
        facts = prompt_facts(tokenized)
        yield _template(recipe, facts)
        yield _end(facts)


def _template(recipe: Recipe, facts: "PromptFacts") -> Checked:
    name = recipe.model.path or ""
    shown = f"the first prompt is {printable(facts.prompt, _SHOWN)!r}"
    if facts.has_template and facts.written:
        found = f"data.template writes {', '.join(facts.written)}, and so does the chat template"
        return TEMPLATE.failed(found, "turns are written twice: set model.chat_template: none")
    if not facts.has_template and not facts.written and _INSTRUCT.search(name):
        found = f"{name} is given plain text; {shown}"
        cause = "its tokenizer has no chat template, or model.chat_template is none: name a file"
        return TEMPLATE.failed(found, cause)
    kind = "turns" if facts.has_template or facts.written else "plain text"
    return TEMPLATE.passed(f"{kind}; {shown}")


def _end(facts: "PromptFacts") -> Checked:
    if facts.after_turn and not facts.after_turn.startswith(facts.end):
        written = facts.after_turn.split()[0]
        found = f"turns end with {written!r}, which is no token; replies end with {facts.end}"
        return END.failed(found, "replies may never end: name it in model.special_tokens")
    return END.passed(f"replies end with {facts.end}")
