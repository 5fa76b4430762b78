"""Calibrations that were made before, by machine and load; others are measured in a child process."""

import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from rlsp_cli import __version__
from rlsp_cli.backends.environment import LOCAL
from rlsp_cli.backends.local.calibration.speed import Load, Speed
from rlsp_cli.engine.cache_folder import cache_home
from rlsp_cli.engine.processor import processor_name
from rlsp_cli.errors import NotReadyError
from rlsp_cli.runs.stream import write_text

_LONGEST_S = 120
_SPEED = TypeAdapter(Speed)


def calibrate(load: Load, env: Mapping[str, str], say: Callable[[str], None]) -> Speed:
    """The speed of this machine with `env` in the environment.

    The first time it is measured, which takes some ten seconds and is announced through `say`.
    NotReadyError when it cannot be.
    """
    path = cache_home() / "speed" / f"{_key(load, env)}.json"
    try:
        return _SPEED.validate_json(path.read_bytes())
    except (OSError, ValidationError):
        # Not measured yet, or by an rlsp that measured something else.
        say(f"measuring the speed of this machine, once, some ten seconds: {path}")

    speed = _measure(load, env)
    write_text(path, _SPEED.dump_json(speed).decode())
    return speed


def _measure(load: Load, env: Mapping[str, str]) -> Speed:
    argv = [*LOCAL.command, "-P", "-m", "rlsp_cli.backends.local.calibration"]
    try:
        done = subprocess.run(
            argv,
            input=json.dumps(asdict(load)),
            env={**os.environ, **env},
            capture_output=True,
            text=True,
            timeout=_LONGEST_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise NotReadyError(f"the calibration took more than {_LONGEST_S} s") from error

    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise NotReadyError(f"the calibration failed: {reason.removeprefix('rlsp: ')}")

    # The last line: a library may have printed others before it.
    return _SPEED.validate_json(done.stdout.splitlines()[-1])


def _key(load: Load, env: Mapping[str, str]) -> str:
    """A name for the load on this machine, with these libraries, threads, and this way to measure."""
    threads = {**os.environ, **env}.get("OMP_NUM_THREADS")
    machine = [platform.node(), processor_name(), _cpus(), threads]
    measured = hashlib.sha256(Path(__file__).with_name("measure.py").read_bytes()).hexdigest()
    versions = [__version__, measured, version("torch"), version("transformers")]
    text = json.dumps([asdict(load), machine, versions], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _cpus() -> int | None:
    """CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()
