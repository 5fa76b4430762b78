"""A plugin file, the user's or one of ours: import it once, and find the plugins in it."""

import hashlib
import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType

from rlsp_cli.errors import PluginError
from rlsp_cli.rewards.plugin import Plugin


def load_file(path: Path) -> ModuleType:
    """Import a plugin file as a module, once; PluginError with file and line when that fails."""
    path = path.absolute()

    # By the path, since two files of the same name may be in use.
    name = f"rlsp_plugin_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}_{path.stem}"
    if name in sys.modules:
        return sys.modules[name]
    if not path.is_file():
        raise PluginError(f"{path}: no such plugin file")

    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None, "a .py file always has a loader"
    module = importlib.util.module_from_spec(spec)

    # Before it runs: a dataclass looks its module up while it is defined.
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except PluginError:
        del sys.modules[name]
        raise
    except Exception as error:
        del sys.modules[name]
        reason = f"this plugin cannot be loaded: {type(error).__name__}: {error}"
        raise PluginError(f"{path}:{_line_of(error, path)}: {reason}") from error
    return module


def plugins_of(module: ModuleType, origin: str) -> dict[tuple[str, str], Plugin]:
    """The plugins that a module defines, by (kind, name)."""
    found = {}
    for function in vars(module).values():
        kind = getattr(function, "__rlsp_kind__", None)

        # One that the file has imported from another is not its own.
        if kind is not None and getattr(function, "__module__", None) == module.__name__:
            found[kind, function.__name__] = Plugin(kind, function.__name__, function, origin)
    return found


def _line_of(error: Exception, path: Path) -> int:
    """The line of a file at which an error was raised; 1 when it is not known."""
    if isinstance(error, SyntaxError) and error.lineno:
        return error.lineno

    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(path) and frame.lineno]
    return lines[-1] if lines else 1
