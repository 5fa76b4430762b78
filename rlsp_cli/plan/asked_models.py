"""The models that plugins of a stage ask, beside those that the stage holds itself."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from rlsp_cli.backends.vllm import QUESTIONS_CACHE_BYTES
from rlsp_cli.backends.vllm.parallel import weights_of
from rlsp_cli.plan.counts import Counts
from rlsp_cli.plan.embedded import in_16_bits
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.rewards.model_use import ModelUse, model_uses

_BYTES_IN_16_BITS, _BYTES_IN_32_BITS = 2, 4
_ASKED_BY = {
    "ppo": ("reward.", "ppo."),
    "eval": ("reward.correctness.", "eval."),
    "rounds": ("reward.correctness.", "rounds."),
}
"""By stage: how the keys of the plugins begin that it runs."""


@dataclass(frozen=True)
class AskedModel:
    """A model that plugins of a stage ask; `asked_by` are their keys in the recipe.

    What it takes here beside the stage are `gpus`, bytes of `weights`, None if unknown, and bytes of
    `cache` on each GPU; nothing of a model with a `url`. `tokens` are those of the prompts and
    responses that it is asked about, at most, once for each plugin: what it reads if it reads them
    once and writes nothing.
    """

    stage: str
    model: str
    asked_by: tuple[str, ...]
    served: str
    weights: float | None
    gpus: int = 0
    cache: float = 0
    responses: int | None = None
    tokens: int | None = None


def asked_models(recipe: Recipe, stages: Sequence[Counts]) -> Iterator[AskedModel]:
    """Each model that plugins of a stage ask, but for the one under evaluation."""
    for counts in stages:
        begins = _ASKED_BY.get(counts.stage, ())
        uses = [use for use in model_uses(recipe) if use.place.startswith(begins)]
        for name, places in _places(uses).items():
            if begins and name in recipe.models:
                yield _asked(recipe, counts, name, places)


def _places(uses: Sequence[ModelUse]) -> dict[str, list[str]]:
    """By model, the keys of the plugins that ask it."""
    found: dict[str, list[str]] = defaultdict(list)
    for use in uses:
        place = use.place.rpartition(".")[0]  # without the option that names it
        if place not in found[use.model]:
            found[use.model].append(place)
    return found


def _asked(recipe: Recipe, counts: Counts, name: str, places: Sequence[str]) -> AskedModel:
    model, gpus = recipe.models[name], recipe.cluster.gpus_per_node
    elsewhere = AskedModel(
        stage=counts.stage,
        model=name,
        asked_by=tuple(places),
        served="a server",
        weights=0,
        responses=counts.responses,
        tokens=counts.tokens and counts.tokens * len(places),
    )
    if model.path is None:
        return elsewhere

    bytes_each = _BYTES_IN_16_BITS if in_16_bits(recipe) else _BYTES_IN_32_BITS
    in_vllm = model.serve == "vllm"
    return replace(
        elsewhere,
        served=model.serve,
        weights=weights_of(model.path, bytes_each) or None,
        gpus=gpus if in_vllm else min(gpus, 1),
        cache=QUESTIONS_CACHE_BYTES if in_vllm else 0,
    )
