"""Who answers: a model of the embedded engine, a server, or a file of responses."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

from rlsp_cli.backends.openrlhf.server import Server, serving, serving_environment
from rlsp_cli.evals.samplers import EndpointSampler, ReplaySampler, Sampler
from rlsp_cli.recipe.schema import Data, Recipe
from rlsp_cli.runs.paths import StagePaths

Prompt = Callable[..., str]
"""Makes what a model reads out of the user's turn, with the system message in `data`."""


@contextmanager
def answering(
    recipe: Recipe, path: str, paths: StagePaths, beat: Callable[[], None]
) -> Iterator[tuple[Sampler, Prompt]]:
    """Who answers the recipe's benches, as long as they are needed; `beat` may raise to stop."""
    assert recipe.eval, "checked by the recipe"
    if recipe.eval.responses == "gold":
        yield ReplaySampler({}), _as_it_is
    elif recipe.eval.responses is not None:
        yield ReplaySampler.from_file(Path(path), uneven=recipe.eval.samples == 0), _as_it_is
    elif recipe.eval.url is not None:
        yield EndpointSampler(recipe.eval.url, path, batch=recipe.eval.batch, beat=beat), _as_it_is
    elif recipe.eval.serve:
        with _serving(recipe, path, paths, beat) as server:
            yield served_sampler(server, recipe.model.chat_template, recipe.eval.batch, beat)
    else:
        model, gpus = recipe.model, recipe.cluster.gpus_per_node
        yield local_sampler(path, Data(), model.precision, gpus, model.chat_template, recipe.eval.batch)


def _serving(recipe: Recipe, path: str, paths: StagePaths, beat: Callable[[], None]) -> AbstractContextManager[Server]:
    environment, gpus = serving_environment(recipe), recipe.cluster.gpus_per_node
    return serving(path, environment, gpus, recipe.model.precision, paths.root.parent, paths.server_log, beat)


def served_sampler(server: Server, chat_template: str, batch: int, beat: Callable[[], None]) -> tuple[Sampler, Prompt]:
    """The server's model with prompts as token ids, those of the embedded engine; a server that has died is told."""
    from rlsp_cli.engine.ending import stated_ends
    from rlsp_cli.engine.model import load_tokenizer
    from rlsp_cli.engine.prompt import encode_request, prompt_text, special_tags

    def alive() -> None:
        server.refuse_dead()
        beat()

    tokenizer = load_tokenizer(server.model, chat_template)
    encode = partial(encode_request, tokenizer=tokenizer)
    ends = sorted({tokenizer.eos_token_id, *stated_ends(server.model)})
    options = {"stop_token_ids": ends, "skip_special_tokens": not special_tags(tokenizer)}
    sampler = EndpointSampler(
        server.url, server.model, encode=encode, options=options, key=server.key, batch=batch, beat=alive
    )
    return sampler, partial(prompt_text, data=Data(), tokenizer=tokenizer)


def local_sampler(
    path: str,
    data: Data,
    precision: str = "auto",
    gpus: int | None = None,
    chat_template: str = "auto",
    batch: int = 128,
) -> tuple[Sampler, Prompt]:
    """The model of a folder or hub id, and how a problem is put to it; on a GPU if `gpus` is None and there is one."""
    import torch

    from rlsp_cli.engine.model import load_model, load_tokenizer, pick_device
    from rlsp_cli.engine.prompt import prompt_text
    from rlsp_cli.engine.sampler import LocalSampler

    device = pick_device(int(torch.cuda.is_available()) if gpus is None else gpus)
    model, tokenizer = load_model(path, device), load_tokenizer(path, chat_template)
    return LocalSampler(model, tokenizer, precision, batch), partial(prompt_text, data=data, tokenizer=tokenizer)


def _as_it_is(turn: str, data: Data) -> str:
    """A server puts its own chat template around the turn; of responses that were given nobody knows the prompt."""
    return turn
