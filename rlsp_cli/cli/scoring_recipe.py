"""A scorer that a command names, with its options as KEY=VALUE, and what it gives no score."""

import os
import sys
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rlsp_cli.cli.options import is_override
from rlsp_cli.errors import PluginError
from rlsp_cli.terminal import print

_MODELS = "models."

if TYPE_CHECKING:
    from rlsp_cli.recipe.schema import Recipe
    from rlsp_cli.rewards.sample import Score


def scoring_recipe(
    name: str, around: str | None, options: Sequence[str], kind: str | None = "step_scorer"
) -> "Recipe":
    """A recipe whose one exploration reward is the scorer.

    `around` names a recipe, which brings its models and plugins, or is the first option.
    `models.NAME.path=...` among the options is an override of the recipe. With no `kind` the scorer may also be
    an exploration reward.
    """
    from rlsp_cli.recipe.key_values import plain_settings
    from rlsp_cli.recipe.load import load_recipe, resolve_recipe
    from rlsp_cli.recipe.shipped import find_recipe
    from rlsp_cli.rewards.registry import resolve_options

    if around and is_override(around):
        options, around = [around, *options], None

    of_models = [option for option in options if option.startswith(_MODELS)]
    settings = plain_settings([option for option in options if option not in of_models])

    data: dict[str, Any] = {"name": "try", **plain_settings(of_models)}
    if around:
        loaded = load_recipe(find_recipe(around), of_models, plugins=resolve_options)
        data |= loaded.model_dump(mode="json", include={"models", "plugins"})

    use: dict[str, Any] = {"use": name, **settings}
    if (kind or _kind(name, data.get("plugins", []))) == "step_scorer":
        use.setdefault("steps", {})
    data["reward"] = {"exploration": use, "workers": os.cpu_count() or 1}
    return resolve_recipe(data, plugins=resolve_options)


def note_reasons(scores: Sequence["Score"]) -> None:
    """Each reason for a missing score once, on stderr, with how many responses it cost."""
    reasons = Counter((one.outcome, one.reason) for one in scores if one.value is None)
    for (outcome, reason), count in reasons.items():
        print(f"note: {count} of {len(scores)} responses: {outcome}: {reason}", file=sys.stderr)


def _kind(name: str, files: Sequence[str]) -> str:
    from rlsp_cli.rewards.registry import get_plugin

    try:
        return get_plugin("exploration_reward", name, files).kind
    except PluginError:
        return "step_scorer"
