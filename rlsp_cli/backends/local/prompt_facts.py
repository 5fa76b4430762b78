"""What a tokenizer and its chat template make of a recipe's prompts and of the end of a reply."""

from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from rlsp_cli.backends.local.models import starting_tokenizer
from rlsp_cli.data import recipe_problems
from rlsp_cli.engine.ending import after_a_turn, whole_tokens
from rlsp_cli.engine.prompt import prompt_text
from rlsp_cli.recipe.schema import Recipe


@dataclass(frozen=True)
class PromptFacts:
    """The first prompt as the model reads it, and how replies end.

    `written` has the special tokens that the recipe's own template and system message write;
    `after_turn` is what the chat template writes after a reply, empty without a template.
    """

    prompt: str
    has_template: bool
    written: tuple[str, ...]
    end: str
    after_turn: str


def prompt_facts(recipe: Recipe) -> PromptFacts:
    """The facts of a recipe with prompts, whose model is a folder or in the hub's cache."""
    tokenizer = starting_tokenizer(recipe, Path())
    (first,) = islice(recipe_problems(recipe), 1)
    own = f"{recipe.data.system or ''}{recipe.data.template}"
    return PromptFacts(
        prompt=prompt_text(first.problem, recipe.data, tokenizer),
        has_template=bool(tokenizer.chat_template),
        written=tuple(token for token in whole_tokens(tokenizer) if token in own),
        end=str(tokenizer.eos_token),
        after_turn=after_a_turn(tokenizer),
    )
