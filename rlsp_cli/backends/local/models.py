"""The model and the tokenizer that training starts from, whichever backend trains."""

from collections.abc import Iterator
from pathlib import Path

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from rlsp_cli.data import preference_rows, recipe_problems, recipe_traces, step_rows
from rlsp_cli.engine.checkpoint import save_model
from rlsp_cli.engine.classifier import refuse_other_classes
from rlsp_cli.engine.ending import adopt_turn_end, refuse_unreachable_end, stop_at_end
from rlsp_cli.engine.model import (
    STEP_CLASSES,
    Head,
    add_special_tokens,
    load_model,
    load_tokenizer,
    new_model,
    set_template,
)
from rlsp_cli.engine.seed import derive_seed
from rlsp_cli.engine.tokenizer import word_tokenizer
from rlsp_cli.recipe.schema import Recipe


def starting_model(
    recipe: Recipe, path: str | None, device: torch.device
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model at `path`, or a new one, with the recipe's chat template and special tokens.

    It has the head of a process reward model where the recipe trains one.
    """
    head: Head = "steps" if recipe.trains_prm else "words"
    seed = derive_seed(recipe.seed, "init")
    if path is not None:
        if head == "steps":
            refuse_other_classes(path, STEP_CLASSES)
        with torch.random.fork_rng():  # a head that the files lack is random
            torch.manual_seed(seed)
            model = load_model(path, device, head=head)
        tokenizer = load_tokenizer(path, recipe.model.chat_template)
    else:
        assert recipe.model.from_scratch, "checked by the recipe"
        model, tokenizer = new_model(recipe.model.from_scratch, _texts(recipe), seed, head)
        model = model.to(device)
        set_template(tokenizer, recipe.model.chat_template)

    add_special_tokens(model, tokenizer, recipe.model.special_tokens)
    if head == "words":
        refuse_unreachable_end(model, tokenizer)
        stop_at_end(model, tokenizer)
    return model, tokenizer


def write_new_model(recipe: Recipe, folder: Path) -> None:
    """A model from scratch as a folder, for backends that read models from folders."""
    save_model(folder, *starting_model(recipe, None, torch.device("cpu")))


def starting_tokenizer(recipe: Recipe, new: Path) -> PreTrainedTokenizerBase:
    """The tokenizer alone; `new` is the folder of a model from scratch."""
    tokenizer = load_tokenizer(recipe.model.path or str(new), recipe.model.chat_template)
    if tokenizer.add_tokens(list(recipe.model.special_tokens), special_tokens=False):
        adopt_turn_end(tokenizer)
    return tokenizer


def first_tokenizer(recipe: Recipe) -> PreTrainedTokenizerBase:
    """The tokenizer that training starts with, without a folder or a model for one from scratch."""
    if recipe.model.from_scratch is None:
        return starting_tokenizer(recipe, Path())
    tokenizer = word_tokenizer(_texts(recipe), recipe.model.from_scratch.max_length)
    set_template(tokenizer, recipe.model.chat_template)
    tokenizer.add_tokens(list(recipe.model.special_tokens), special_tokens=False)
    return tokenizer


def _texts(recipe: Recipe) -> Iterator[str]:
    """All text that a word-level tokenizer must know."""
    yield from (recipe.data.template, recipe.data.system or "")
    if recipe.data.traces:
        for trace in recipe_traces(recipe):
            yield from (trace.prompt, trace.response, *(content for _, content in trace.turns))
    if recipe.data.steps:
        for row in step_rows(recipe.data.steps, recipe.plugins):
            yield row.text
    if recipe.data.pairs:
        for pair in preference_rows(recipe.data.pairs, recipe.plugins):
            yield from (pair.prompt, pair.chosen, pair.rejected)
            yield from (content for _, content in pair.turns)
    if recipe.data.prompts:
        for problem in recipe_problems(recipe):
            yield from (problem.problem, problem.answer or "", problem.start)
            if recipe.ppo and recipe.ppo.hints:
                yield recipe.ppo.hints.shown(problem.problem, problem.metadata) or ""
