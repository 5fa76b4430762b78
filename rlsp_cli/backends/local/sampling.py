"""A model of the embedded engine as a sampler, for evaluation and for rejection sampling."""

from collections.abc import Callable
from functools import partial

from rlsp_cli.evals.sampler import Sampler
from rlsp_cli.recipe.schema import Data


def local_sampler(
    path: str, data: Data, precision: str = "auto", gpus: int | None = None, chat_template: str = "auto"
) -> tuple[Sampler, Callable[[str], str]]:
    """The model of a folder or hub id, and how a problem is put to it; on a GPU if `gpus` is None and there is one."""
    import torch

    from rlsp_cli.engine.model import load_model, load_tokenizer, pick_device
    from rlsp_cli.engine.prompt import prompt_text
    from rlsp_cli.engine.sampler import LocalSampler

    device = pick_device(int(torch.cuda.is_available()) if gpus is None else gpus)
    model, tokenizer = load_model(path, device), load_tokenizer(path, chat_template)
    return LocalSampler(model, tokenizer, precision), partial(prompt_text, data=data, tokenizer=tokenizer)
