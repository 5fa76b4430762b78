"""Where a backend is installed: an interpreter, alone or inside a container.

rlsp starts these interpreters, and imports nothing from them.
"""

import os
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from rlsp_cli import __version__
from rlsp_cli.errors import NotReadyError, UsageError
from rlsp_cli.recipe.backend_environment import BackendEnvironment
from rlsp_cli.recipe.schema import Recipe

SETTINGS = "rlsp.toml"
"""Names environments for all recipes of a folder."""
_ASK_VERSION = "import importlib.metadata as m, sys; print(m.version(sys.argv[1]))"


@dataclass(frozen=True)
class Environment:
    """An installed backend. `command` starts its interpreter; `{run}` in it is the run folder."""

    backend: str
    command: tuple[str, ...]
    version: str
    allow_untested: bool = False

    @property
    def in_container(self) -> bool:
        """Whether the interpreter is started by a container's command."""
        return len(self.command) > 1

    def python(self, run: Path) -> tuple[str, ...]:
        """The interpreter's command for a run."""
        return tuple(word.replace("{run}", str(run)) for word in self.command)


LOCAL = Environment("local", (sys.executable,), __version__)
"""The embedded engine is part of rlsp itself."""


def default_folder(backend: str) -> Path:
    """Where `rlsp backends install` puts a backend: $XDG_DATA_HOME/rlsp/backends/NAME."""
    home = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return home / "rlsp" / "backends" / backend


def find_environment(backend: str, recipe: Recipe | None = None) -> Environment:
    """The environment that the recipe names, or else rlsp.toml, or else the installed one.

    Its interpreter is started once, for the backend's version. NotReadyError when there is none.
    """
    if backend == "local":
        return LOCAL

    named = (recipe.backends.get(backend) if recipe else None) or _from_settings(backend)  # type: ignore[call-overload]
    command = _command(backend, named or BackendEnvironment())
    yours = f"or name yours in {SETTINGS}: [backends.{backend}] python"
    hint = f"`rlsp backends install {backend}` makes one; {yours}"

    try:
        done = _ask_version(command, backend)
    except OSError as error:
        problem = f"no environment for {backend}: {command[0]}: {error.strerror}"
        raise NotReadyError(f"{problem}; {hint}") from error
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise NotReadyError(f"{shlex.join(command)} has no {backend} ({reason}); {hint}")

    return Environment(backend, command, done.stdout.strip(), bool(named and named.allow_untested))


def package_version(environment: Environment, package: str) -> str | None:
    """The version of another package in an environment; None if it is not there."""
    done = _ask_version(environment.command, package)
    return None if done.returncode else done.stdout.strip()


def usable_environment(backend: str, recipe: Recipe, tested: Sequence[str]) -> Environment:
    """As `find_environment`; NotReadyError too for an untested version that is not allowed."""
    found = find_environment(backend, recipe)
    if found.version not in tested and not found.allow_untested:
        raise NotReadyError(
            f"{backend} {found.version}: rlsp is tested with {', '.join(tested)}; "
            f"install one of them, "
            f"or set backends.{backend}.allow_untested: true"
        )
    return found


def _ask_version(command: Sequence[str], package: str) -> "subprocess.CompletedProcess[str]":
    # A container needs some folder in the place of the run's, which is not there yet.
    words = [word.replace("{run}", str(Path.cwd())) for word in command]
    asked = [*words, "-c", _ASK_VERSION, package]
    return subprocess.run(asked, capture_output=True, text=True, check=False)


def _command(backend: str, named: BackendEnvironment) -> tuple[str, ...]:
    container = named.container
    if container is None:
        return (named.python or str(default_folder(backend) / "bin" / "python"),)

    # The command is split before the image is put in, so that its name stays one word.
    words = [word.replace("{image}", container.image) for word in shlex.split(container.command)]
    return (*words, named.python or "python")


def _from_settings(backend: str) -> BackendEnvironment | None:
    """What the nearest rlsp.toml at or above the working directory says."""
    for folder in (Path.cwd(), *Path.cwd().parents):
        if (folder / SETTINGS).is_file():
            return _read_settings(folder / SETTINGS).get(backend)
    return None


def _read_settings(path: Path) -> dict[str, BackendEnvironment]:
    try:
        sections = tomllib.loads(path.read_text(encoding="utf-8")).get("backends", {})
        return {name: BackendEnvironment.model_validate(part) for name, part in sections.items()}
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path}: not valid TOML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UsageError(f"{path}: backends.{where}: {first['msg']}") from error
