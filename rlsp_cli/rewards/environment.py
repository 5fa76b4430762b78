"""An environment of the library `verifiers`, in an interpreter of its own."""

import atexit
import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Timer
from typing import Any

from rlsp_cli.child.die_with_parent import dying_with_parent
from rlsp_cli.errors import NotReadyError
from rlsp_cli.outside import read_json
from rlsp_cli.share import share

VERSIONS = ("0.1.14",)
"""The versions of `verifiers` that this was tested with."""
_QUIET = {"HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
_START_S = 120.0
"""Time to import an environment and to load its rows."""
_ANSWER_S = 60.0
"""Time for an answer, where no worker has a shorter deadline."""


class Environment:
    """A running environment; a request is answered by playing a response from its start."""

    def __init__(self, venv: str, load: str, arguments: Mapping[str, Any]) -> None:
        python = venv_folder(venv) / "bin" / "python"
        self._place = f"environment {load} in {python.parent.parent}"
        if not python.is_file():
            made = f"python -m venv {python.parent.parent}"
            raise NotReadyError(
                f"{self._place}: no such environment; make one with `{made}`, and install "
                f"verifiers=={VERSIONS[-1]} and the environment's package there"
            )

        words = [str(share("templates") / "environment" / "serve.py"), " ".join(VERSIONS), load]
        self._process = subprocess.Popen(
            dying_with_parent([str(python), *words, json.dumps(dict(arguments))]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **_QUIET},
        )
        try:
            self._rows: dict[str, int] = self._read(_START_S)["rows"]
        except RuntimeError as error:
            self.close()
            raise NotReadyError(f"{self._place}: {error}") from error

    @property
    def alive(self) -> bool:
        """Whether the process has not ended."""
        return self._process.poll() is None

    def row(self, split: str, index: int) -> tuple[str, str]:
        """The prompt of a row, and its answer; IndexError beyond the last one."""
        count = self._rows["train" if split == "train" else "test"]
        if index >= count:
            raise IndexError(f"the environment has {count} rows in {split}; set rows: {count}")
        found = self._ask(do="row", split=split, row=index)
        return found["prompt"], found["answer"]

    def follow(self, split: str, index: int, turns: Sequence[str]) -> tuple[list[str], str | None]:
        """What it has said after each of the model's turns, and a text with which it ended.

        There are as many texts as turns where the response goes on, and one less where it ended.
        """
        found = self._ask(do="follow", split=split, row=index, turns=list(turns))
        return found["told"], found["closing"]

    def reward(self, split: str, index: int, turns: Sequence[str]) -> float:
        """The rubric's reward of a response."""
        return float(self._ask(do="score", split=split, row=index, turns=list(turns))["reward"])

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None, "both are pipes"
            with suppress(BrokenPipeError):  # a request that it did not live to read
                pipe.close()

    def _ask(self, **request: Any) -> dict[str, Any]:
        assert self._process.stdin is not None, "a pipe"
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # what it has answered before, or its end, is read next
        return self._read(_ANSWER_S)

    def _read(self, timeout_s: float) -> dict[str, Any]:
        """The next answer; RuntimeError with what the environment says, or that it has ended."""
        assert self._process.stdout is not None, "a pipe"
        late = Timer(timeout_s, self._process.kill)
        late.start()
        line = self._process.stdout.readline()
        late.cancel()

        if not line:
            code = self._process.wait()
            raise RuntimeError(f"its process ended or was too slow (exit code {code})")
        found: dict[str, Any] = read_json(line)
        if "error" in found:
            raise RuntimeError(found["error"])
        return found


def environment_of(venv: str, load: str, arguments: Mapping[str, Any] | None) -> Environment:
    """The environment, started once in a process and again after it has died.

    NotReadyError when it is missing or cannot be used.
    """
    key = (venv, load, json.dumps(arguments, sort_keys=True))
    found = _STARTED.get(key)
    if found is not None and found.alive:
        return found

    if found is not None:
        found.close()
    _STARTED[key] = Environment(venv, load, arguments or {})
    atexit.register(_STARTED[key].close)
    return _STARTED[key]


_STARTED: dict[tuple[str, str, str], Environment] = {}


def venv_folder(venv: str) -> Path:
    """A venv by its path, or by its name in $XDG_DATA_HOME/rlsp/environments."""
    if os.sep in venv:
        return Path(venv).expanduser().absolute()
    home = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return home / "rlsp" / "environments" / venv
