"""Making a backend's environment: a venv of its own, filled from a lock that rlsp has been tested with."""

import datetime
import hashlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rlsp_cli.errors import NotReadyError, UsageError
from rlsp_cli.runs.stream import write_json

_MARK = "rlsp-backend.json"
_TORCH = "torch"


def lock_file(backend: str, profile: str) -> Path:
    """The lock of a backend's profile; UsageError names the profiles that there are."""
    folder = Path(__file__).parent / backend / "locks"
    path = folder / f"{profile}.txt"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in folder.glob("*.txt"))) or "none yet"
        raise UsageError(f"{backend} has no profile {profile!r}; known: {known}")
    return path


def pins(lock: Path) -> dict[str, str]:
    """Package -> version of a lock."""
    lines = [line.strip() for line in lock.read_text(encoding="utf-8").splitlines()]
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {name.lower(): version for name, version in pairs}


def installed_state(folder: Path) -> dict[str, Any] | None:
    """What was installed into a folder, and from which lock; None when rlsp made nothing there."""
    mark = folder / _MARK
    return json.loads(mark.read_text(encoding="utf-8"))["data"] if mark.is_file() else None


def install(backend: str, profile: str, folder: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """Make the environment, unless the same lock was installed there before; returns what is there.

    torch comes with its own dependencies, from wherever pip is set up to find it; the rest is as the lock says, and
    nothing else: resolving would pull packages that training never imports. NotReadyError when pip fails.
    """
    lock = lock_file(backend, profile)
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()
    before = installed_state(folder)
    if before is not None and before["lock"] == digest:
        say(f"{folder}: installed before")
        return before
    if before is None and folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder}: this folder is used, and not by rlsp; name another with --path")
    began = time.monotonic()
    shutil.rmtree(folder, ignore_errors=True)
    _fill(lock, folder, say)
    state = {
        "backend": backend,
        "version": pins(lock)[backend],
        "profile": profile,
        "lock": digest,
        "installed": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "seconds": round(time.monotonic() - began, 1),
        "bytes": sum(file.stat().st_size for file in folder.rglob("*") if file.is_file() and not file.is_symlink()),
    }
    write_json(folder / _MARK, {"schema": "rlsp.backend/1", "data": state})
    return state


def _fill(lock: Path, folder: Path, say: Callable[[str], None]) -> None:
    """Uv is faster where it is there; pip is everywhere."""
    uv, python = shutil.which("uv"), str(folder / "bin" / "python")
    say(f"{folder}: a new environment, with {'uv' if uv else 'pip'}")
    make = [uv, "venv", "--python", sys.executable, str(folder)] if uv else [sys.executable, "-m", "venv", str(folder)]
    add = [uv, "pip", "install", "--python", python] if uv else [python, "-m", "pip", "install"]
    torch = f"{_TORCH}=={pins(lock)[_TORCH]}"
    _run(make)
    say(f"{torch}, with its dependencies")
    _run([*add, torch, "--constraint", str(lock)])
    say(f"{len(pins(lock))} packages from {lock.parent.parent.name}/locks/{lock.name}")
    _run([*add, "--no-deps", "--requirement", str(lock)])


def _run(argv: Sequence[str | None]) -> None:
    done = subprocess.run([word for word in argv if word], capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
        raise NotReadyError(f"{' '.join(map(str, argv[:4]))}: {lines[-1] if lines else 'failed without a word'}")
