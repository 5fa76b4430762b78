"""Making a backend's environment: a venv, filled from a lock that rlsp has been tested with."""

import datetime
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rlsp_cli.backends import BACKENDS
from rlsp_cli.errors import NotReadyError, UsageError
from rlsp_cli.runs.stream import write_json

_MARK = "rlsp-backend.json"
_TORCH = "torch"
_BUILT_HERE = ("flash-attn",)
"""Packages whose build imports torch: they come last, built beside what is then there."""
_WITHOUT_CUDA = {"FLASH_ATTENTION_SKIP_CUDA_BUILD": "TRUE", "FLASH_ATTENTION_FORCE_BUILD": "TRUE"}
"""flash-attn's own switches: only its Python code, and no download of a ready build."""


@dataclass(frozen=True)
class Installation:
    """What `install` made in a folder, as a file there says."""

    backend: str
    version: str
    profile: str
    lock: str
    """Digest of the lock's text: another lock is installed anew."""
    installed: str
    """When, in UTC."""
    seconds: float
    bytes: int


def locks(backend: str) -> list[Path]:
    """The locks of a backend, one for each profile; none for a backend that is not installed."""
    return sorted((Path(__file__).parent / backend / "locks").glob("*.txt"))


def lock_file(backend: str, profile: str) -> Path:
    """The lock of a backend's profile; UsageError names the backends or profiles that there are."""
    found = {path.stem: path for path in locks(backend)}
    if not found:
        known = ", ".join(name for name in BACKENDS if locks(name))
        raise UsageError(f"{backend!r} is not a backend that rlsp installs; known: {known}")
    if profile not in found:
        raise UsageError(f"{backend} has no profile {profile!r}; known: {', '.join(found)}")
    return found[profile]


def pins(lock: Path) -> dict[str, str]:
    """Package -> version of a lock."""
    lines = [line.strip() for line in lock.read_text(encoding="utf-8").splitlines()]
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {name.lower(): version for name, version in pairs}


def site_packages(folder: Path) -> Path:
    """Where the packages of a venv lie."""
    return next(folder.glob("lib/python3*/site-packages"))


def read_installation(folder: Path) -> Installation | None:
    """What was installed into a folder; None when rlsp made nothing there."""
    mark = folder / _MARK
    if not mark.is_file():
        return None
    return Installation(**json.loads(mark.read_text(encoding="utf-8"))["data"])


def install(backend: str, profile: str, folder: Path, say: Callable[[str], None]) -> Installation:
    """Make the environment, unless the same lock was installed there before; returns what is there.

    UsageError for a folder that rlsp did not make; NotReadyError when pip fails.
    """
    lock = lock_file(backend, profile)
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()

    before = read_installation(folder)
    if before is not None and before.lock == digest:
        say(f"{folder}: installed before")
        BACKENDS[backend].finish_install(profile, site_packages(folder))
        return before

    # The folder is emptied below: it must be ours, or hold nothing.
    begun = folder.with_name(f"{folder.name}.installing")
    is_ours = before is not None or begun.exists()
    if not is_ours and folder.exists() and any(folder.iterdir()):
        used = f"{folder}: this folder is used, and not by rlsp"
        raise UsageError(f"{used}; name another with --path")

    # Beside the folder, since it stays where an installation is killed while the folder is emptied.
    begun.parent.mkdir(parents=True, exist_ok=True)
    begun.touch()
    began = time.monotonic()
    shutil.rmtree(folder, ignore_errors=True)
    _fill(lock, folder, say)
    BACKENDS[backend].finish_install(profile, site_packages(folder))

    made = Installation(
        backend=backend,
        version=pins(lock)[backend],
        profile=profile,
        lock=digest,
        installed=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        seconds=round(time.monotonic() - began, 1),
        bytes=_size(folder),
    )
    # Last, so that an installation which failed half-way counts as none.
    write_json(folder / _MARK, {"schema": "rlsp.backend/1", "data": asdict(made)})
    begun.unlink()
    return made


def _size(folder: Path) -> int:
    """Bytes of all files; those that a link leads to lie elsewhere."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return sum(file.stat().st_size for file in files)


def _fill(lock: Path, folder: Path, say: Callable[[str], None]) -> None:
    """Make the venv and install the lock: torch, then the others, then what is built here."""
    uv, python = shutil.which("uv"), str(folder / "bin" / "python")
    say(f"{folder}: a new environment, with {'uv' if uv else 'pip'}")

    # uv is faster where it is there; pip is everywhere.
    if uv:
        make = [uv, "venv", "--python", sys.executable, str(folder)]
        add = [uv, "pip", "install", "--python", python]
    else:
        make = [sys.executable, "-m", "venv", str(folder)]
        add = [python, "-m", "pip", "install"]
    _run(make)

    # torch brings its CUDA libraries from wherever pip is set up to find them.
    wanted = {name: f"{name}=={version}" for name, version in pins(lock).items()}
    built = [wanted.pop(name) for name in _BUILT_HERE if name in wanted]
    say(f"{wanted[_TORCH]}, with its dependencies")
    _run([*add, wanted[_TORCH], "--constraint", str(lock)])

    # To resolve the others would pull packages that training never imports.
    say(f"{len(wanted)} packages from {lock.parent.parent.name}/locks/{lock.name}")
    _run([*add, "--no-deps", *wanted.values()])

    if built:
        say(f"{', '.join(built)}, built here")
        _build([*add, "--no-deps", "--no-build-isolation", *built], lock.stem)


def _build(argv: Sequence[str], profile: str) -> None:
    if profile == "cpu":
        # Apart from the cache, which would hand a build without CUDA to a GPU environment.
        _run([*argv, "--no-cache-dir"], _WITHOUT_CUDA)
    else:
        _run(argv)


def _run(argv: Sequence[str], settings: Mapping[str, str] | None = None) -> None:
    """Run an installer; NotReadyError with the error that it names, or else its last line."""
    env = {**os.environ, **(settings or {})}
    done = subprocess.run(argv, capture_output=True, text=True, env=env, check=False)
    if done.returncode == 0:
        return

    lines = done.stderr.splitlines()
    errors = [line for line in lines if line.startswith("ERROR")]
    reason = (errors or lines or ["failed without a message"])[-1]
    raise NotReadyError(f"{' '.join(argv[:4])}: {reason}")
