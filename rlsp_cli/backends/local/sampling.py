"""Samplers of models: the embedded engine, and vLLM with the engine's prompts."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from rlsp_cli.backends.served_models import served_models
from rlsp_cli.backends.vllm import Server, serving, serving_environment
from rlsp_cli.evals.samplers import EndpointSampler, Sampler
from rlsp_cli.evals.stage import Opened, RenderPrompt
from rlsp_cli.recipe.continuation import ContinuationUse
from rlsp_cli.recipe.data import Data
from rlsp_cli.recipe.eval import Thinking
from rlsp_cli.recipe.named_model import NamedModel
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.rewards.continuing import Continuer
from rlsp_cli.rewards.model_use import EVALUATED, models_at
from rlsp_cli.rewards.models import NO_MODELS, Address, Addresses
from rlsp_cli.runs.paths import StagePaths

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@contextmanager
def open_model(
    path: str,
    *,
    recipe: Recipe,
    paths: StagePaths,
    check_stop: Callable[[], None],
    served: Addresses = NO_MODELS,
) -> Iterator[Opened]:
    """What answers for a model: vLLM if `eval.serve` asks for it, else the embedded engine.

    Plugins that ask the embedded engine's model are answered by a second copy, in a process of its
    own. The recipe's continuation can ask the models that are `served`.
    """
    assert recipe.eval, "checked by the recipe"
    model, gpus, settings = recipe.model, recipe.cluster.gpus_per_node, recipe.eval
    if not settings.serve:
        with (
            continuer_of(recipe, served) as continuer,
            _copy(path, recipe, paths, check_stop) as address,
        ):
            sampler, render = local_sampler(
                path,
                model.precision,
                gpus,
                model.chat_template,
                settings.batch,
                settings.thinking,
                continuer,
            )
            yield Opened(sampler, render, address)
        return

    environment, run = serving_environment(recipe), paths.root.parent
    with serving(
        path, environment, gpus, model.precision, run, paths.server_log, check_stop
    ) as server:
        sampler, render = served_sampler(
            server, model.chat_template, settings.batch, check_stop, settings.thinking
        )
        yield Opened(sampler, render, Address(server.url, server.model, server.key))


@contextmanager
def continuer_of(recipe: Recipe, served: Addresses = NO_MODELS) -> Iterator[Continuer | None]:
    """The recipe's continuation with its processes, if it has one."""
    with continuer_for(recipe.continuation, recipe, served) as continuer:
        yield continuer


@contextmanager
def continuer_for(
    use: ContinuationUse | None, recipe: Recipe, served: Addresses = NO_MODELS
) -> Iterator[Continuer | None]:
    """A continuation of a recipe with its processes, if there is one."""
    if use is None:
        yield None
        return
    with Continuer(use, recipe.reward, recipe.plugins, served) as continuer:
        yield continuer


@contextmanager
def _copy(
    path: str, recipe: Recipe, paths: StagePaths, check_stop: Callable[[], None]
) -> Iterator[Address | None]:
    """Where plugins can ask the model, if one of them does."""
    if EVALUATED not in models_at(recipe, "eval"):
        yield None
        return

    models = {EVALUATED: NamedModel(path=path)}
    asked = recipe.model_copy(update={"models": models})
    with served_models(asked, models, paths.root, check_stop) as served:
        yield served[EVALUATED]


def served_sampler(
    server: Server,
    chat_template: str,
    batch: int,
    tick: Callable[[], None],
    thinking: Thinking | None = None,
) -> tuple[Sampler, RenderPrompt]:
    """The server's model, with the embedded engine's token ids as prompts; JobError once the server has died."""
    from rlsp_cli.engine.ending import stated_ends
    from rlsp_cli.engine.model import load_tokenizer
    from rlsp_cli.engine.prompt import encode_request, special_tags

    def alive() -> None:
        server.refuse_dead()
        tick()

    tokenizer = load_tokenizer(server.model, chat_template)
    encode = partial(encode_request, tokenizer=tokenizer)
    ends = sorted({tokenizer.eos_token_id, *stated_ends(server.model)})
    options = {"stop_token_ids": ends, "skip_special_tokens": not special_tags(tokenizer)}
    sampler = EndpointSampler(
        server.url,
        server.model,
        encode=encode,
        options=options,
        key=server.key,
        batch=batch,
        tick=alive,
    )
    return sampler, _renderer(tokenizer, thinking)


def local_sampler(
    path: str,
    precision: str = "auto",
    gpus: int | None = None,
    chat_template: str = "auto",
    batch: int = 128,
    thinking: Thinking | None = None,
    continuer: Continuer | None = None,
) -> tuple[Sampler, RenderPrompt]:
    """The model of a folder or hub id, and how its prompts are made; on a GPU if `gpus` is None and there is one.

    A `continuer` answers between the model's words.
    """
    import torch

    from rlsp_cli.backends.local.room import refuse_too_large
    from rlsp_cli.engine.dialogue import dialogue_of
    from rlsp_cli.engine.ending import refuse_unreachable_end
    from rlsp_cli.engine.model import load_model, load_tokenizer, pick_device
    from rlsp_cli.engine.sampler import LocalSampler

    device = pick_device(int(torch.cuda.is_available()) if gpus is None else gpus)
    refuse_too_large(path, device)
    model, tokenizer = load_model(path, device), load_tokenizer(path, chat_template)
    refuse_unreachable_end(model, tokenizer)
    dialogue = dialogue_of(continuer, tokenizer) if continuer else None
    sampler = LocalSampler(model, tokenizer, precision, batch, dialogue)
    return sampler, _renderer(tokenizer, thinking)


def _renderer(tokenizer: "PreTrainedTokenizerBase", thinking: Thinking | None) -> RenderPrompt:
    """The prompts of training, by the tokenizer's chat template; RecipeError if it cannot switch."""
    from rlsp_cli.engine.prompt import prompt_text
    from rlsp_cli.engine.thinking_switch import switched

    variables = switched(tokenizer, thinking)
    return lambda turn, system: prompt_text(turn, Data(system=system), tokenizer, variables)
