"""Plugins by name: built in, installed (entry points), or from a file. Signatures are checked when they register."""

import hashlib
import importlib.metadata
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from types import ModuleType, NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel

from rlsp_cli.errors import PluginError
from rlsp_cli.recipe.issue import OptionsError, did_you_mean
from rlsp_cli.recipe.schema import ExplorationUse
from rlsp_cli.rewards.options import complete_options, options_model
from rlsp_cli.rewards.sample import CheckedVerdict, Sample, Verdict
from rlsp_cli.rewards.source import source_digest
from rlsp_cli.share import share

_FOLDERS = {"verifier": "verifiers", "exploration_reward": "rewards", "task": "tasks", "row_shape": "benches"}
ENTRY_POINTS = {
    "verifier": "rlsp.verifiers",
    "exploration_reward": "rlsp.rewards",
    "task": "rlsp.tasks",
    "row_shape": "rlsp.row_shapes",
}
_SIGNATURES: dict[str, dict[tuple[Any, ...], set[Any]]] = {  # positional parameters -> what may be returned
    "verifier": {(Sample,): {bool, float, Verdict, CheckedVerdict, NoneType}},
    "exploration_reward": {(Sample,): {float, NoneType}, (Sequence[Sample],): {list}},
    "task": {(int, str): {dict}},
    "row_shape": {(dict[str, Any],): {dict}},
}
_TAKEN = frozenset(ExplorationUse.model_fields)
"""Keys of a recipe's plugin entry that are ours, so that no option can have their names."""

Function = TypeVar("Function", bound=Callable[..., Any])


def exploration_reward(function: Function) -> Function:
    """Register `f(sample: Sample, *, options) -> float`; None abstains.

    A function of `Sequence[Sample]` is given all samples of one prompt at once and returns a list, one item each.
    """
    return _register("exploration_reward", function)


def verifier(function: Function) -> Function:
    """Register `f(sample: Sample, *, options) -> bool | float | Verdict`, 0 to 1; None abstains."""
    return _register("verifier", function)


def task(function: Function) -> Function:
    """Register `f(index: int, split: str, *, options) -> dict`, the row of that number, always the same one."""
    return _register("task", function)


def row_shape(function: Function) -> Function:
    """Register `f(row: dict[str, Any], *, options) -> dict`: a bench's row as `problem`, `answer` and the like."""
    return _register("row_shape", function)


@dataclass(frozen=True)
class Plugin:
    """A registered function; `origin` is its file or entry point, `digest` that of its source."""

    kind: str
    name: str
    function: Callable[..., Any]
    origin: str

    @cached_property
    def options(self) -> type[BaseModel]:
        """The options that a recipe may give, as a pydantic model."""
        return options_model(self.function)

    @property
    def reference(self) -> str:
        """A name that finds it from anywhere: `file.py:function`, or that of an installed one."""
        return f"{self.origin}:{self.name}" if self.origin.endswith(".py") else self.name

    @cached_property
    def takes_group(self) -> bool:
        """Whether it scores all samples of a prompt in one call."""
        first = next(iter(inspect.signature(self.function).parameters))
        return self.kind == "exploration_reward" and get_type_hints(self.function)[first] != Sample

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the file, and of modules of its own that it imports."""
        return source_digest(Path(inspect.getfile(self.function)))

    @property
    def doc(self) -> str:
        """First line of the docstring."""
        return (inspect.getdoc(self.function) or "").partition("\n")[0]


@dataclass(frozen=True)
class BrokenPlugin:
    """An installed plugin that cannot be loaded, and why."""

    kind: str
    name: str
    origin: str
    reason: str


def get_plugin(kind: str, reference: str, files: Sequence[str] = ()) -> Plugin:
    """The plugin named by name or by `path/file.py:function`; PluginError when there is none or there are two."""
    path, colon, name = reference.rpartition(":")
    if colon and path.endswith(".py"):
        return _from_file(kind, Path(path), name)
    found = [*_named(kind, reference, files)]
    if not found:
        raise PluginError(_unknown(kind, reference, files))
    if len(found) > 1:
        sources = " and ".join(origin for origin, _ in found)
        raise PluginError(
            f"{_words(kind)} {reference!r} is there twice: {sources}; rename one, or say file.py:{reference}"
        )
    return found[0][1]()


def resolve_options(kind: str, reference: str, options: dict[str, Any], files: Sequence[str]) -> dict[str, Any]:
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
        for name in sorted({*built_in(kind), *(point.name for point in _entry_points(kind))}):
            try:
                found.append(get_plugin(kind, name))
            except PluginError as error:
                found.append(BrokenPlugin(kind, name, "", str(error)))
    return found


def _named(kind: str, name: str, files: Sequence[str]) -> Iterator[tuple[str, Callable[[], Plugin]]]:
    """Every source that has this name, as (its words, how to load it)."""
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
        raise PluginError(f"{path}: {name!r} is a {_words(others[0])}, wanted: a {_words(kind)}")
    known = [n for k, n in found if k == kind]
    raise PluginError(f"{path}: no {_words(kind)} {name!r} - {did_you_mean(name, known)}; decorate it with @{kind}")


def _from_entry_point(kind: str, point: importlib.metadata.EntryPoint) -> Plugin:
    try:
        function = point.load()
    except Exception as error:
        raise PluginError(f"{_words_of(point)}: {type(error).__name__}: {error}") from error
    if getattr(function, "__rlsp_kind__", None) != kind:
        raise PluginError(f"{_words_of(point)}: {point.value} is not decorated with @{kind}")
    return Plugin(kind, point.name, function, _words_of(point))


def _unknown(kind: str, name: str, files: Sequence[str]) -> str:
    known = {*built_in(kind), *(point.name for point in _entry_points(kind))}
    for file in files:
        known |= {n for k, n in plugins_of(load_file(Path(file)), file) if k == kind}
    return f"unknown {_words(kind)} {name!r} - {did_you_mean(name, known)}"


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


def load_file(path: Path) -> ModuleType:
    """Import a plugin file as a real module, once; PluginError with its own file:line when it fails."""
    path = path.absolute()
    name = f"rlsp_plugin_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}_{path.stem}"
    if name in sys.modules:
        return sys.modules[name]
    if not path.is_file():
        raise PluginError(f"{path}: no such plugin file")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None, "a .py file always has a loader"
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except PluginError:
        del sys.modules[name]
        raise
    except Exception as error:
        del sys.modules[name]
        line = next(
            (f.lineno for f in reversed(traceback.extract_tb(error.__traceback__)) if f.filename == str(path)), 1
        )
        line = error.lineno or line if isinstance(error, SyntaxError) else line
        raise PluginError(f"{path}:{line}: this plugin cannot be loaded: {type(error).__name__}: {error}") from error
    return module


def plugins_of(module: ModuleType, origin: str) -> dict[tuple[str, str], Plugin]:
    """The plugins that a module defines, by (kind, name)."""
    functions = [f for f in vars(module).values() if getattr(f, "__module__", None) == module.__name__]
    found = [(f.__rlsp_kind__, f.__name__, f) for f in functions if hasattr(f, "__rlsp_kind__")]
    return {(kind, name): Plugin(kind, name, function, origin) for kind, name, function in found}


def _register(kind: str, function: Function) -> Function:
    """Check the signature and mark the function."""
    code = function.__code__
    where = f"{code.co_filename}:{code.co_firstlineno}: @{kind} {function.__name__}"
    try:
        hints = get_type_hints(function)
    except NameError as error:
        raise PluginError(f"{where}: its annotations cannot be read: {error}") from error
    parameters = list(inspect.signature(function).parameters.values())
    positional = [p for p in parameters if p.kind is not p.KEYWORD_ONLY]
    given = tuple(hints.get(p.name) for p in positional)
    allowed = _SIGNATURES[kind].get(given)
    if allowed is None or any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters):
        expected = " or ".join(f"({', '.join(map(_type_name, types))}, *, options)" for types in _SIGNATURES[kind])
        raise PluginError(f"{where}: takes ({', '.join(map(_type_name, given)) or 'nothing'}), expected {expected}")
    for parameter in parameters[len(positional) :]:
        if parameter.name not in hints or parameter.default is parameter.empty:
            raise PluginError(f"{where}: option {parameter.name!r} needs a type and a default")
        if parameter.name in _TAKEN:
            raise PluginError(f"{where}: option {parameter.name!r}: recipes use this key themselves; rename it")
    if "return" not in hints or not _return_types(hints["return"]) <= allowed:
        words = " | ".join(sorted(_type_name(t) for t in allowed - {NoneType}))
        raise PluginError(f"{where}: must be annotated to return {words}")
    function.__rlsp_kind__ = kind  # type: ignore[attr-defined]
    return function


def _type_name(annotation: Any) -> str:
    if annotation is None:
        return "no type"
    return (
        annotation.__name__
        if isinstance(annotation, type) and not get_args(annotation)
        else str(annotation).rpartition("abc.")[2].replace("rlsp_cli.rewards.sample.", "")
    )


def _return_types(annotation: Any) -> set[Any]:
    if get_origin(annotation) in (Union, UnionType):
        return set().union(*(_return_types(part) for part in get_args(annotation)))
    return {get_origin(annotation) or annotation}


def _entry_points(kind: str) -> list[importlib.metadata.EntryPoint]:
    return list(importlib.metadata.entry_points(group=ENTRY_POINTS[kind]))


def _words_of(point: importlib.metadata.EntryPoint) -> str:
    package = f"{point.dist.name} {point.dist.version}" if point.dist else "an installed package"
    return f"{package} ({point.value})"


def _words(kind: str) -> str:
    return kind.replace("_", " ")
