"""What cannot be evaluated, or trained on, where a continuation answers between a model's words."""

from collections.abc import Iterator

from rlsp_cli.recipe.eval import Eval
from rlsp_cli.recipe.issue import Issue
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.rewards.registry import get_plugin

_ALONE = ("budget_forcing", "search")
"""Strategies that continue responses themselves."""


def check_continuation(recipe: Recipe) -> Iterator[Issue]:
    """Issues of a recipe with a `continuation`."""
    if recipe.continuation is None:
        return

    plugin = get_plugin("continuation", recipe.continuation.use, recipe.plugins)
    if plugin.needs_reference:
        message = f"{plugin.name} reads the reference, which no continuation is given"
        yield Issue("continuation.use", message, "its text would tell the answer; do without")

    if recipe.reward.is_dense:
        message = "rewards at the ends of steps are for responses without a continuation"
        yield Issue("reward.exploration", message, "leave out steps.dense, or continuation")
    if recipe.rounds is not None:
        message = "traces of rounds have no place for texts from elsewhere"
        yield Issue("rounds", message, "leave out rounds, or continuation")
    if recipe.eval is not None:
        yield from _of_eval(recipe.eval)


def _of_eval(settings: Eval) -> Iterator[Issue]:
    for key in ("serve", "url"):
        if getattr(settings, key):
            message = "a continuation answers the embedded engine, and a server decodes here"
            yield Issue(f"eval.{key}", message, f"leave out eval.{key}, or continuation")

    for name in _ALONE:
        if name in settings.strategies:
            message = f"{name} continues responses itself"
            yield Issue("eval.strategies", message, f"leave out {name}, or continuation")
