"""Which of a recipe's models its plugins ask, and whether the recipe has them."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from rlsp_cli.errors import PluginError
from rlsp_cli.recipe.continuation import ContinuationUse
from rlsp_cli.recipe.issue import Issue, Note, did_you_mean
from rlsp_cli.recipe.plugin_use import PluginUse, ScorerUse
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.recipe.search import StepScorerUse
from rlsp_cli.recipe.selector_use import SelectorUse
from rlsp_cli.rewards.model_name import model_options
from rlsp_cli.rewards.registry import get_plugin

EVALUATED = "self"
"""The name of the model under evaluation, which no recipe gives to another."""


NamingUse = PluginUse | ScorerUse | SelectorUse | StepScorerUse | ContinuationUse
"""A recipe's entry of a plugin that may ask a model."""


class ModelUse(NamedTuple):
    """An option of a recipe, by its dotted key, that names a model."""

    place: str
    model: str


def models_of(kind: str, use: NamingUse, files: Iterable[str] = ()) -> dict[str, str]:
    """The options of a plugin that name models, and the models; none of a plugin that is unknown."""
    try:
        model = get_plugin(kind, use.use, tuple(files)).options
    except PluginError:
        return {}  # reported where the recipe is read

    defaults = {option: model.model_fields[option].default for option in model_options(model)}
    named = {option: use.options.get(option, default) for option, default in defaults.items()}
    return {option: str(name) for option, name in named.items() if name}


def model_uses(recipe: Recipe) -> list[ModelUse]:
    """All options of a recipe that name models."""
    found = [
        ModelUse(f"{place}.{option}", model)
        for place, kind, use in _uses(recipe)
        for option, model in models_of(kind, use, recipe.plugins).items()
    ]
    if recipe.rounds is not None and recipe.rounds.teacher is not None:
        found.append(ModelUse("rounds.teacher", recipe.rounds.teacher))
    if recipe.ppo is not None and recipe.ppo.teacher is not None:
        found.append(ModelUse("ppo.teacher.model", recipe.ppo.teacher.model))
    return found


def models_at(recipe: Recipe, *places: str) -> set[str]:
    """The models that plugins at these keys of a recipe, or below them, ask."""
    below = tuple(f"{place}." for place in places)
    return {use.model for use in model_uses(recipe) if use.place.startswith(below)}


def check_models(recipe: Recipe) -> Iterator[Issue]:
    """An issue for each name that is no model's, and for a model that takes a reserved name."""
    if EVALUATED in recipe.models:
        words = f"{EVALUATED} is the model under evaluation"
        yield Issue(f"models.{EVALUATED}", words, "choose another name")

    for place, model in model_uses(recipe):
        if model == EVALUATED and not _evaluates_at(place, recipe):
            message = f"{EVALUATED} is the model under evaluation, and there is none here"
            yield Issue(place, message, "name one of `models`")
        elif model not in recipe.models and model != EVALUATED:
            yield Issue(place, f"`models` has no {model!r}", did_you_mean(model, recipe.models))


def unused_models(recipe: Recipe) -> Iterator[Note]:
    """A note on each of a recipe's models that nothing in it asks."""
    asked = {use.model for use in model_uses(recipe)}
    for name in recipe.models:
        if name not in asked:
            yield Note(f"models.{name}", "nothing in this recipe asks it, so that no run loads it")


def _evaluates_at(place: str, recipe: Recipe) -> bool:
    """Whether a model answers where this option is used; responses may be given instead."""
    return place.startswith("eval.") and recipe.eval is not None and recipe.eval.responses is None


def _uses(recipe: Recipe) -> Iterator[tuple[str, str, NamingUse]]:
    """Every plugin that may ask a model: its key, its kind and its entry."""
    yield "reward.correctness", "verifier", recipe.reward.correctness
    for number, use in enumerate(recipe.reward.exploration):
        yield f"reward.exploration.{number}", use.kind, use
    for place, section in (("ppo.select", recipe.ppo), ("rounds.select", recipe.rounds)):
        if section is not None and section.select is not None:
            yield place, "selector", section.select

    if recipe.continuation is not None:
        yield "continuation", "continuation", recipe.continuation
    if recipe.ppo is not None and recipe.ppo.self_play is not None:
        yield "ppo.self_play", "continuation", recipe.ppo.self_play
    scorer = recipe.eval.scorer if recipe.eval else None
    if scorer is not None:
        chosen = ScorerUse(use=scorer) if isinstance(scorer, str) else scorer
        yield "eval.scorer", chosen.kind, chosen
    for key, part in (("eval", recipe.eval), ("rounds", recipe.rounds)):
        search = part.search if part else None
        if search is not None and search.scorer is not None:
            yield f"{key}.search.scorer", "step_scorer", search.scorer
