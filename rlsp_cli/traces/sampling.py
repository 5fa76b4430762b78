"""The model that answers problems: a server, or a folder or hub id in the embedded engine."""

from collections.abc import Callable

from rlsp_cli.evals.samplers import EndpointSampler, Sampler
from rlsp_cli.recipe.data import Data
from rlsp_cli.rewards.continuing import Continuer


def open_sampler(
    model: str, url: str | None, data: Data, continuer: Continuer | None = None
) -> tuple[Sampler, Callable[[str], str]]:
    """The sampler, and the prompt for a problem by the recipe's `data`.

    A `continuer` answers between the words of a model here.
    """
    # A server applies the chat template itself; its system message goes with each request.
    if url is not None:
        return EndpointSampler(url, model), data.ask

    from rlsp_cli.backends.local.sampling import local_sampler

    sampler, render = local_sampler(model, continuer=continuer)
    return sampler, lambda problem: render(data.ask(problem), data.system)
