"""The recipe of an archive: as data, with the paths of this machine; nothing of it is run here."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rlsp_cli.errors import RecipeError
from rlsp_cli.pack.archive import Archive
from rlsp_cli.recipe.override import override
from rlsp_cli.recipe.source import Source, read_source
from rlsp_cli.recipe.tree import items_of, leaves

RESOLVED = "run/resolved.yaml"
_OURS = ("backends",)
"""Sections that say where things are on the machine of the run; here they are elsewhere."""
_POWERS = (
    *("cluster.env", "cluster.slurm", "cluster.launcher", "cluster.host", "cluster.ray_address"),
    *("models", "eval.url", "tracking.to"),
)
"""Keys by which a recipe sets variables, runs commands, or sends something to others."""
_HARMLESS = (None, "", "local", False)


def local_recipe(archive: Archive, folder: Path, overrides: Sequence[str]) -> dict[str, Any]:
    """The resolved recipe, for files that will be unpacked into `folder`, with overrides.

    Section `backends` is left out: this machine has its own. RecipeError for a file that is no
    recipe, or for an override that is none.
    """
    source = Source({key: part for key, part in _raw(archive).items() if key not in _OURS})
    paths = {one.was: str(folder / one.name) for one in archive.index.files if one.was}
    _move(source.data, paths)
    for number, text in enumerate(overrides, 1):
        override(source, text, number)
    return source.data


def powers(recipe: Mapping[str, Any], folder: Path) -> Iterator[tuple[str, str]]:
    """(key, value) of what a reader should see before the recipe runs.

    That is variables, commands, addresses, and code that is not in the archive's `folder`.
    """
    for key, value in leaves(recipe):
        is_power = any(key == power or key.startswith(f"{power}.") for power in _POWERS)
        if (is_power and value not in _HARMLESS) or _is_code_elsewhere(value, folder):
            yield key, value if isinstance(value, str) else json.dumps(value)


def _is_code_elsewhere(value: Any, folder: Path) -> bool:
    file, ending, _ = str(value).partition(".py")
    return bool(ending) and "/" in file and not Path(file).is_relative_to(folder)


def _raw(archive: Archive) -> dict[str, Any]:
    # The reader of recipes, which knows what YAML is too much, reads files.
    with TemporaryDirectory() as folder:
        file = Path(folder) / "resolved.yaml"
        file.write_bytes(archive.read(RESOLVED))
        try:
            return read_source(file).data
        except RecipeError as error:
            place = f"{archive.path}: {RESOLVED}"
            raise RecipeError(str(error).replace(str(file), place)) from error


def _move(node: Any, paths: Mapping[str, str]) -> None:
    """Change paths in nested data, also those of `file.py:function`, in place."""
    for key, value in items_of(node):
        if not isinstance(value, str):
            _move(value, paths)
            continue
        file, colon, name = value.partition(".py:")
        if colon and f"{file}.py" in paths:
            node[key] = f"{paths[f'{file}.py']}:{name}"
        else:
            node[key] = paths.get(value, value)
