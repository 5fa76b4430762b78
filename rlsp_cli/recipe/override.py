"""`key.path=value` of the command line, put over a recipe."""

import json
from pathlib import Path
from typing import Any

from rlsp_cli.errors import RecipeError
from rlsp_cli.recipe.absolute import make_absolute
from rlsp_cli.recipe.merge import merge, merged_data
from rlsp_cli.recipe.origin import Origin
from rlsp_cli.recipe.source import NOTHING, Source, parse_value
from rlsp_cli.recipe.tree import leaves


def override(source: Source, text: str, number: int) -> None:
    """Set `key.path=value` in place; `number` counts the overrides from 1, for messages."""
    key, equals, value = text.partition("=")
    key = key.strip()
    # No `=` is most likely a blank in between: `ppo.steps 10`.
    if not equals or not key:
        raise RecipeError(f"override #{number}: {text!r} is not key.path=value")
    origin = Origin(f"override #{number} ({key})", (number, 0, 0))
    if not value.strip():
        hint = f"write {key + '=' + json.dumps(value)!r} for a text of blanks" if value else NOTHING
        raise RecipeError(f"{origin}: nothing behind {text!r} - {hint}")

    # Paths are as seen from where the command is typed.
    data = parse_value(value)
    tree = _nested(key, data)
    make_absolute(tree, Path.cwd())

    origins = {key: origin, **{path: origin for path, _ in leaves(data, key)}}
    merge(source, Source(_into_lists(source.data, tree), origins))


def _nested(key: str, value: Any) -> dict[str, Any]:
    """`a.b` and a value as `{"a": {"b": value}}`."""
    first, dot, rest = key.partition(".")
    return {first: _nested(rest, value) if dot else value}


def _into_lists(base: Any, tree: Any) -> Any:
    """The tree as it goes over `base`: `{"0": x}` over a list means its item 0.

    Over a single plugin, which stands for a list of one, it means that plugin.
    """
    if not isinstance(tree, dict):
        return tree

    if isinstance(base, dict):
        # `reward.exploration.0.scale`, where the recipe has one reward and no list.
        if "use" in base and set(tree) == {"0"}:
            return _into_lists(base, tree["0"])
        return {key: _into_lists(base.get(key), value) for key, value in tree.items()}

    if isinstance(base, list) and all(key.isdigit() and int(key) < len(base) for key in tree):
        items = list(base)
        for key, value in tree.items():
            item = items[int(key)]
            items[int(key)] = merged_data(item, _into_lists(item, value))
        return items
    return tree
