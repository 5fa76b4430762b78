"""Find plugins by name: built in, installed (through entry points), or in a file."""

import importlib.metadata
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from rlsp_cli.errors import PluginError
from rlsp_cli.recipe.issue import OptionsError, did_you_mean
from rlsp_cli.rewards.options import complete_options
from rlsp_cli.rewards.plugin import Plugin
from rlsp_cli.rewards.plugin_file import load_file, plugins_of
from rlsp_cli.share import share

_FOLDERS = {
    "verifier": "verifiers",
    "exploration_reward": "rewards",
    "step_scorer": "step_scorers",
    "selector": "selectors",
    "search": "searches",
    "continuation": "continuations",
    "task": "tasks",
    "row_shape": "benches",
}
ENTRY_POINTS = {
    "verifier": "rlsp.verifiers",
    "exploration_reward": "rlsp.rewards",
    "step_scorer": "rlsp.step_scorers",
    "selector": "rlsp.selectors",
    "search": "rlsp.searches",
    "continuation": "rlsp.continuations",
    "task": "rlsp.tasks",
    "row_shape": "rlsp.row_shapes",
}


@dataclass(frozen=True)
class BrokenPlugin:
    """An installed plugin that cannot be loaded, and why."""

    kind: str
    name: str
    origin: str
    reason: str


def get_plugin(kind: str, reference: str, files: Sequence[str] = ()) -> Plugin:
    """The plugin of a name or of `path/file.py:function`; PluginError if there is none, or two."""
    path, colon, name = reference.rpartition(":")
    if colon and path.endswith(".py"):
        return _from_file(kind, Path(path), name)

    found = [*_named(kind, reference, files)]
    if not found:
        raise PluginError(_unknown(kind, reference, files))

    # None takes the place of another: an installed package could redefine a reward unseen.
    if len(found) > 1:
        sources = " and ".join(origin for origin, _ in found)
        words = f"{_words(kind)} {reference!r} is defined twice: {sources}"
        raise PluginError(f"{words}; rename one, or write file.py:{reference}")
    return found[0][1]()


def resolve_options(
    kind: str, reference: str, options: dict[str, Any], files: Sequence[str]
) -> dict[str, Any]:
    """The complete options of a plugin; OptionsError when it or one of them is wrong."""
    try:
        plugin = get_plugin(kind, reference, files)
    except PluginError as error:
        raise OptionsError([(None, str(error))]) from error
    return complete_options(plugin.options, options, reference)


def list_plugins() -> list[Plugin | BrokenPlugin]:
    """Everything built in or installed."""
    found: list[Plugin | BrokenPlugin] = []
    for kind in _FOLDERS:
        for name in sorted(names(kind)):
            try:
                found.append(get_plugin(kind, name))
            except PluginError as error:
                found.append(BrokenPlugin(kind, name, "", str(error)))

    return found


def _named(
    kind: str, name: str, files: Sequence[str]
) -> Iterator[tuple[str, Callable[[], Plugin]]]:
    """Every source of this name: its description, and a function that loads it."""
    path = built_in(kind).get(name)
    if path is not None:
        yield f"built in ({path})", partial(_from_file, kind, path, name)
    for point in _entry_points(kind):
        if point.name == name:
            yield _words_of(point), partial(_from_entry_point, kind, point)
    for file in files:
        if (kind, name) in plugins_of(load_file(Path(file)), file):
            yield file, partial(_from_file, kind, Path(file), name)


def _from_file(kind: str, path: Path, name: str) -> Plugin:
    found = plugins_of(load_file(path), str(path))
    if (kind, name) in found:
        return found[kind, name]
    others = [other for other, n in found if n == name]
    if others:
        raise PluginError(f"{path}: {_other_kind(kind, name, others[0])}")

    known = [n for k, n in found if k == kind]
    words = f"{path}: no {_words(kind)} {name!r} - {did_you_mean(name, known)}"
    raise PluginError(f"{words}; decorate it with @{kind}")


def _from_entry_point(kind: str, point: importlib.metadata.EntryPoint) -> Plugin:
    try:
        function = point.load()
    except Exception as error:  # a package may fail in any way while it is imported
        raise PluginError(f"{_words_of(point)}: {type(error).__name__}: {error}") from error
    if getattr(function, "__rlsp_kind__", None) != kind:
        raise PluginError(f"{_words_of(point)}: {point.value} is not decorated with @{kind}")
    return Plugin(kind, point.name, function, _words_of(point))


def _unknown(kind: str, name: str, files: Sequence[str]) -> str:
    if name.endswith(".py"):
        return f"{name}: names a file and no {_words(kind)} in it; write {name}:FUNCTION"

    for other in _FOLDERS:
        if name in names(other, files):
            return _other_kind(kind, name, other)
    return f"unknown {_words(kind)} {name!r} - {did_you_mean(name, names(kind, files))}"


def names(kind: str, files: Sequence[str] = ()) -> set[str]:
    """The names of this kind: built in, installed, or in one of these files, which are run."""
    known = {*built_in(kind), *(point.name for point in _entry_points(kind))}
    for file in files:
        known |= {n for k, n in plugins_of(load_file(Path(file)), file) if k == kind}
    return known


_STEPS_HINTS = {
    ("exploration_reward", "step_scorer"): " - add steps: {by: lines}",
    ("step_scorer", "exploration_reward"): " - take its steps out",
}
"""By kind that is expected and kind that was found, what to change in a recipe."""


def _other_kind(expected: str, name: str, found: str) -> str:
    hint = _STEPS_HINTS.get((expected, found), "")
    return f"{name!r} is {_a(found)}, expected {_a(expected)}{hint}"


def built_in(kind: str) -> dict[str, Path]:
    """The files of the plugins that ship with rlsp; each has the name of its function."""
    return {path.stem: path for path in sorted((share("plugins") / _FOLDERS[kind]).glob("*.py"))}


def find_plugin(reference: str) -> Plugin:
    """The plugin of this name or `file.py:function`, whatever its kind."""
    path, _, name = reference.rpartition(":")
    if path.endswith(".py"):
        found = [p for p in plugins_of(load_file(Path(path)), path).values() if p.name == name]
    else:
        found = [p for p in list_plugins() if isinstance(p, Plugin) and p.name == reference]
    if not found:
        known = [p.name for p in list_plugins()] if not path else []
        raise PluginError(f"unknown plugin {reference!r} - {did_you_mean(reference, known)}")
    return found[0]


def _entry_points(kind: str) -> list[importlib.metadata.EntryPoint]:
    return list(_installed(ENTRY_POINTS[kind], tuple(sys.path)))


@cache
def _installed(group: str, path: tuple[str, ...]) -> importlib.metadata.EntryPoints:
    """What the packages on this path bring; they are too many to be read once for each name."""
    return importlib.metadata.entry_points(group=group)


def _words_of(point: importlib.metadata.EntryPoint) -> str:
    package = f"{point.dist.name} {point.dist.version}" if point.dist else "an installed package"
    return f"{package} ({point.value})"


def _words(kind: str) -> str:
    return kind.replace("_", " ")


def _a(kind: str) -> str:
    """The name of a kind with its article."""
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {_words(kind)}"
