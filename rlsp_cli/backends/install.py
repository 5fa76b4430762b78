"""Making a backend's environment: a venv of its own, filled from a lock that rlsp has been tested with."""

import datetime
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rlsp_cli.backends import BACKENDS
from rlsp_cli.errors import NotReadyError, UsageError
from rlsp_cli.runs.stream import write_json

_MARK = "rlsp-backend.json"
_TORCH = "torch"
_BUILT_HERE = ("flash-attn",)
"""Packages whose build imports torch, so they come last and are built among the packages that are then there."""
_WITHOUT_CUDA = {"FLASH_ATTENTION_SKIP_CUDA_BUILD": "TRUE", "FLASH_ATTENTION_FORCE_BUILD": "TRUE"}
"""flash-attn's own switches: only its Python code, and no look for a build of someone else's."""


def locks(backend: str) -> list[Path]:
    """The locks of a backend, one for each profile; none for a backend that is not installed."""
    return sorted((Path(__file__).parent / backend / "locks").glob("*.txt"))


def lock_file(backend: str, profile: str) -> Path:
    """The lock of a backend's profile; UsageError names the backends, or the profiles, that there are."""
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


def installed_state(folder: Path) -> dict[str, Any] | None:
    """What was installed into a folder, and from which lock; None when rlsp made nothing there."""
    mark = folder / _MARK
    return json.loads(mark.read_text(encoding="utf-8"))["data"] if mark.is_file() else None


def install(backend: str, profile: str, folder: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """Make the environment, unless the same lock was installed there before; returns what is there.

    torch comes with its own dependencies, from wherever pip is set up to find it; the rest is as
    the lock says, and
    nothing else: resolving would pull packages that training never imports. NotReadyError when pip
        fails.
    """
    lock = lock_file(backend, profile)
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()
    before = installed_state(folder)
    if before is not None and before["lock"] == digest:
        say(f"{folder}: installed before")
        BACKENDS[backend].finish_install(profile, site_packages(folder))
        return before
    if before is None and folder.exists() and any(folder.iterdir()):
        raise UsageError(
            f"{folder}: this folder is used, and not by rlsp; name another with --path"
        )
    began = time.monotonic()
    shutil.rmtree(folder, ignore_errors=True)
    _fill(lock, folder, say)
    BACKENDS[backend].finish_install(profile, site_packages(folder))
    state = {
        "backend": backend,
        "version": pins(lock)[backend],
        "profile": profile,
        "lock": digest,
        "installed": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "seconds": round(time.monotonic() - began, 1),
        "bytes": sum(
            file.stat().st_size
            for file in folder.rglob("*")
            if file.is_file() and not file.is_symlink()
        ),
    }
    write_json(folder / _MARK, {"schema": "rlsp.backend/1", "data": state})
    return state


def _fill(lock: Path, folder: Path, say: Callable[[str], None]) -> None:
    """Uv is faster where it is there; pip is everywhere."""
    uv, python = shutil.which("uv"), str(folder / "bin" / "python")
    say(f"{folder}: a new environment, with {'uv' if uv else 'pip'}")
    make = (
        [uv, "venv", "--python", sys.executable, str(folder)]
        if uv
        else [sys.executable, "-m", "venv", str(folder)]
    )
    add = [uv, "pip", "install", "--python", python] if uv else [python, "-m", "pip", "install"]
    wanted = {name: f"{name}=={version}" for name, version in pins(lock).items()}
    built = [wanted.pop(name) for name in _BUILT_HERE if name in wanted]
    _run(make)
    say(f"{wanted[_TORCH]}, with its dependencies")
    _run([*add, wanted[_TORCH], "--constraint", str(lock)])
    say(f"{len(wanted)} packages from {lock.parent.parent.name}/locks/{lock.name}")
    _run([*add, "--no-deps", *wanted.values()])
    if built:
        say(f"{', '.join(built)}, built here")
        _build([*add, "--no-deps", "--no-build-isolation", *built], lock.stem)


def _build(argv: Sequence[str | None], profile: str) -> None:
    """Without CUDA for the CPU, and then apart from the cache, which would hand that build to a GPU environment."""
    if profile == "cpu":
        _run([*argv, "--no-cache-dir"], _WITHOUT_CUDA)
    else:
        _run(argv)


def _run(argv: Sequence[str | None], settings: Mapping[str, str] | None = None) -> None:
    env = {**os.environ, **(settings or {})}
    done = subprocess.run(
        [word for word in argv if word], capture_output=True, text=True, env=env, check=False
    )
    if done.returncode:
        lines = [
            line for line in done.stderr.splitlines() if line.startswith("ERROR")
        ] or done.stderr.splitlines()
        raise NotReadyError(
            f"{' '.join(map(str, argv[:4]))}: {lines[-1] if lines else 'failed without a word'}"
        )
