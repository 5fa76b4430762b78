"""Recipes merged over the recipes that they extend: mappings key by key, later files win."""

from pathlib import Path
from typing import Any

from rlsp_cli.errors import RecipeError
from rlsp_cli.recipe.absolute import make_absolute
from rlsp_cli.recipe.shipped import shipped_recipes
from rlsp_cli.recipe.source import Source, read_source
from rlsp_cli.recipe.tree import leaves


def read_with_parents(path: Path, chain: tuple[Path, ...] = ()) -> Source:
    """A file merged over the recipes that it extends; `chain` are the files that extend it."""
    own = read_source(path)
    make_absolute(own.data, path.parent)
    parents = _extended(own)
    # The chain and not all files read: two recipes may extend the same third one.
    if path in chain:
        cycle = " -> ".join(str(p) for p in (*chain, path))
        raise RecipeError(f"{own.origins.get('extends', path)}: extends goes in a circle: {cycle}")

    merged = Source({})
    for parent in parents:
        file = _find_parent(parent, path.parent, own)
        merge(merged, read_with_parents(file.resolve(), (*chain, path)))
    merge(merged, own)
    return merged


def recipe_files(path: Path) -> list[Path]:
    """A recipe's file, and all files that it extends, directly or not, each once."""
    found: list[Path] = []
    waiting = [path]
    while waiting:
        file = waiting.pop(0)
        found.append(file)
        own = read_source(file)
        parents = [_find_parent(name, file.parent, own).resolve() for name in _extended(own)]
        waiting += [parent for parent in parents if parent not in (*found, *waiting)]
    return found


def merge(base: Source, over: Source) -> None:
    """Merge `over` into `base`, with the origins of what is left of both."""
    data = merged_data(base.data, over.data)

    # A replaced plugin takes its options with it, and their origins must not outlive them.
    left = {path for path, _ in leaves(data)}
    replaced = {path for path, _ in leaves(base.data)} - left
    kept = {path: origin for path, origin in base.origins.items() if path not in replaced}

    base.data, base.origins = data, kept | over.origins


def merged_data(base: Any, over: Any) -> Any:
    """Mappings merge key by key; everything else is replaced."""
    # So is a plugin by another one: the options of the first mean nothing to the second.
    if not isinstance(base, dict) or not isinstance(over, dict) or _is_other_plugin(base, over):
        return over

    merged = dict(base)
    for key, value in over.items():
        merged[key] = merged_data(base.get(key), value)
    return merged


def _is_other_plugin(base: dict[str, Any], over: dict[str, Any]) -> bool:
    return "use" in over and over["use"] != base.get("use")


def _extended(own: Source) -> list[str]:
    """What the file extends, in its order; the key is taken out of its data."""
    # The resolved recipe is complete, and extends nothing.
    value = own.data.pop("extends", [])
    names = value if isinstance(value, list) else [value]
    if not all(isinstance(name, str) for name in names):
        place = own.origins["extends"]
        raise RecipeError(
            f"{place}: extends: expected the name of a recipe, or a list, found {value!r:.60}"
        )
    return names


def _find_parent(name: str, folder: Path, own: Source) -> Path:
    """A parent as a file beside the recipe, or else a shipped recipe of this name."""
    file = folder / name  # an absolute name stays as it is
    if file.is_file():
        return file
    if name in shipped_recipes():
        return shipped_recipes()[name]
    raise RecipeError(f"{own.origins['extends']}: extends {name!r}: no such file or shipped recipe")
