"""The files beside a run folder that a run has used: plugins, other files, data."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rlsp_cli.data import source_digest
from rlsp_cli.pack.index import Packed
from rlsp_cli.recipe.plugin_ref import plugin_refs
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.rewards.registry import get_plugin
from rlsp_cli.rewards.source import source_files
from rlsp_cli.share import share


def plugin_files(recipe: Recipe) -> Iterator[Packed]:
    """The sources of all plugins that the recipe names, and of what they import of the user's."""
    own = {Path(name).absolute() for name in recipe.plugins}
    for ref in plugin_refs(recipe.model_dump(mode="json")):
        plugin = get_plugin(ref.kind, ref.name, recipe.plugins)
        code = Path(plugin.function.__code__.co_filename)
        if code.is_relative_to(share("plugins")):
            name = code.relative_to(share("plugins")).as_posix()
            yield Packed(f"plugins/shipped/{name}", "shipped", code.read_bytes())
        elif plugin.origin.endswith(".py"):
            own.add(Path(plugin.origin).absolute())
        else:
            yield Packed(f"plugins/installed/{code.name}", "installed", code.read_bytes())
    yield from _own_files(own)


def other_files(recipe: Recipe) -> Iterator[Packed]:
    """Chat template, lexicon and the user's benches."""
    # Only keys that hold no secret: the options of a plugin may name any file.
    benches = recipe.eval.benches if recipe.eval else ()
    named = (recipe.model.chat_template, recipe.reward.lexicon, *benches)
    for number, path in enumerate(name for name in named if name and Path(name).is_file()):
        file = Path(path)
        yield Packed(f"files/{number}-{file.name}", "file", file.read_bytes(), path)


def data_files(manifest: Mapping[str, Any]) -> Iterator[Packed]:
    """The files that the run's manifest has digests of."""
    found = {entry["source"] for entry in manifest["data"] if entry["digest"]}
    for number, path in enumerate(sorted(found)):
        file = Path(path)
        if file.is_file():
            yield Packed(f"data/{number}-{file.name}", "data", file.read_bytes(), path)


def changed_since(recipe: Recipe, manifest: Mapping[str, Any]) -> Iterator[str]:
    """A line for each plugin and each file of data that is not what the run used."""
    for known in manifest["plugins"]:
        plugin = get_plugin(known["kind"], known["name"], recipe.plugins)
        if plugin.digest != known["digest"]:
            yield f"plugin {known['name']} ({plugin.origin}) has changed since the run"

    for entry in manifest["data"]:
        if entry["digest"] and source_digest(entry["source"]) != entry["digest"]:
            yield f"data {entry['source']} is missing, or has changed since the run"


def _own_files(plugins: set[Path]) -> Iterator[Packed]:
    """Files as they lie beside each other, since they may import each other."""
    files = sorted({file for plugin in plugins for file in source_files(plugin)})
    if not files:
        return

    above = os.path.commonpath([file.parent for file in files])
    for file in files:
        name = file.relative_to(above).as_posix()
        yield Packed(f"plugins/own/{name}", "plugin", file.read_bytes(), str(file))
