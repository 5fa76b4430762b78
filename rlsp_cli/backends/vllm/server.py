"""vLLM's server for one model, from the environment of OpenRLHF: started, waited for, and ended with all it started."""

import json
import os
import re
import secrets
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rlsp_cli.backends.environment import Environment, usable_environment
from rlsp_cli.backends.openrlhf.flags import TESTED
from rlsp_cli.backends.probe import run_probe
from rlsp_cli.backends.vllm.parallel import Parallelism, heads_of, parallel, weights_of
from rlsp_cli.child.cause import last_error, likely_cause
from rlsp_cli.child.session import session, short_folder
from rlsp_cli.errors import JobError, NotReadyError
from rlsp_cli.recipe.schema import Recipe

_LOOPBACK = "127.0.0.1"
_POLL_S = 0.2
_ANSWER_S = 30.0
"""The longest that a server which is there takes to say so."""
_QUIET_S = 900.0
"""Seconds without a new word in the log after which a loading server counts as hung; one large file takes long."""
_ON_CPU = {
    "VLLM_CPU_KVCACHE_SPACE": "2",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_WAIT_POLICY": "PASSIVE",
}
"""GiB for keys and values; threads wherever the system puts them, which would starve each other if they waited busily.

Variables that are set already win.
"""
_TOO_LARGE = re.compile(
    r"out of memory|OutOfMemory|not enough GPU memory|No available memory|is less than (desired|requested)"
)
"""How vLLM says that a model, or keys and values beside it, do not fit."""


@dataclass(frozen=True)
class Server:
    """A server that answers; `length` is the most tokens that a prompt and its response may have together."""

    url: str
    model: str
    key: str = field(repr=False)
    length: int
    process: "_Process" = field(repr=False)

    def refuse_dead(self) -> None:
        """JobError, with the last words of its log, when it has ended."""
        if self.process.child.poll() is not None:
            raise self.process.failure()


@dataclass(frozen=True)
class _Process:
    """The process behind a server, and where its part of the log begins."""

    child: "subprocess.Popen[bytes]"
    log: Path
    begin: int

    def failure(self) -> JobError:
        """What it died of, and the next move."""
        with self.log.open("rb") as stream:
            stream.seek(self.begin)
            text = stream.read().decode("utf-8", errors="replace")

        code = self.child.returncode
        cause = likely_cause(text, code)
        if _TOO_LARGE.search(text):
            cause = "too little memory for this model; use more GPUs, or free them"

        why = f"{cause}: " if cause else ""
        return JobError(
            f"vLLM ended with code {code}: {why}{last_error(text)} (more in {self.log})"
        )


def serving_environment(recipe: Recipe) -> Environment:
    """The environment that has vLLM; NotReadyError with what to type when it is missing or untested."""
    try:
        return usable_environment("openrlhf", recipe, TESTED)
    except NotReadyError as error:
        raise NotReadyError(f"eval.serve needs vLLM: {error}") from error


@contextmanager
def serving(
    model: str,
    environment: Environment,
    gpus: int,
    precision: str,
    run: Path,
    log: Path,
    tick: Callable[[], None],
) -> Iterator[Server]:
    """A server for a folder or hub id `org/name[@revision]`, that answers on this machine alone while the block runs.

    `gpus` is 0 for the CPU; `precision` the recipe's. What it prints is appended to `log`; `tick`
    is called a few times a second while it loads, and what it raises ends the server. It ends too
    when this process is killed. JobError when it ends by itself; NotReadyError when it hangs or
    there is no GPU.
    """
    dtype = _dtype(precision, gpus)
    parallelism = _parallelism(model, environment, gpus, dtype)
    begin, folder, key = _size(log), short_folder(), secrets.token_urlsafe(24)
    with _port() as port:
        command = serve_command(
            environment.python(run), model, port, dtype, parallelism, on_cpu=not gpus
        )
        with session(command, _variables(key, folder, gpus), log, folder) as child:
            process = _Process(child, log, begin)
            url = f"http://{_LOOPBACK}:{port}"
            length = _await(url, key, process, tick)
            yield Server(f"{url}/v1", model, key, length, process)


def serve_command(
    python: Sequence[str], model: str, port: int, dtype: str, parallelism: Parallelism, on_cpu: bool
) -> list[str]:
    """`vllm serve` for a model.

    No sampling default of the model's generation_config.json counts. `auto` takes the model's own
    length, or what fits into memory. On a CPU compiling would double the start.
    """
    name, _, revision = model.partition("@")
    if Path(model).is_dir():
        name, revision = str(Path(model).absolute()), ""

    options: dict[str, Any] = {
        "host": _LOOPBACK,
        "port": port,
        "served-model-name": model,
        "dtype": dtype,
        "generation-config": "vllm",
        "max-model-len": "auto",
        "tensor-parallel-size": parallelism.tensor,
        "data-parallel-size": parallelism.data,
        **({"revision": revision, "tokenizer-revision": revision} if revision else {}),
    }
    flags = [
        "--enable-prefix-caching",
        "--disable-uvicorn-access-log",
        *(["--enforce-eager"] if on_cpu else []),
    ]
    words = [f"--{option}={value}" for option, value in options.items()]
    return [*python, "-m", "vllm.entrypoints.cli.main", "serve", name, *words, *flags]


def _dtype(precision: str, gpus: int) -> str:
    """The dtype to serve in; vLLM's own `auto` would serve float32 weights in float16."""
    if precision != "auto":
        return precision
    return "bfloat16" if gpus else "float32"


def _parallelism(model: str, environment: Environment, gpus: int, dtype: str) -> Parallelism:
    if not gpus:
        return Parallelism()
    memory = run_probe(environment).gpu_memory[:gpus]
    if len(memory) < gpus:
        raise NotReadyError(
            f"cluster.gpus_per_node is {gpus}, but vLLM's environment sees {len(memory)} GPUs"
        )
    return parallel(
        weights_of(model, 4 if dtype == "float32" else 2), min(memory), gpus, heads_of(model)
    )


def _variables(key: str, folder: str, gpus: int) -> dict[str, str]:
    """The server's variables: its sockets lie in `folder`, and no file here shadows one of its modules."""
    own = {"VLLM_API_KEY": key, "TMPDIR": folder, "DO_NOT_TRACK": "1", "PYTHONSAFEPATH": "1"}
    return {**({} if gpus else _ON_CPU), **os.environ, **own}


@contextmanager
def _port() -> Iterator[int]:
    """A port that nobody else is given: we are bound to it without listening, which SO_REUSEADDR lets vLLM join."""
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind((_LOOPBACK, 0))
        yield int(held.getsockname()[1])


def _await(url: str, key: str, process: _Process, tick: Callable[[], None]) -> int:
    """Return the server's length when it serves; raise as soon as it has ended, or is silent for long."""
    size, at = process.begin, time.monotonic()
    while True:
        if process.child.poll() is not None:
            raise process.failure()
        tick()
        if _get(f"{url}/health", key) is not None and (models := _get(f"{url}/v1/models", key)):
            return int(json.loads(models)["data"][0]["max_model_len"])
        if size != (size := _size(process.log)):
            at = time.monotonic()
        elif time.monotonic() - at > _QUIET_S:
            raise NotReadyError(
                f"vLLM has loaded without any output for {_QUIET_S:.0f} s; see {process.log}"
            )
        time.sleep(_POLL_S)


def _get(url: str, key: str) -> bytes | None:
    """The body of an answer of our own server, which no proxy reaches; None before it listens, or when it refuses."""
    import httpx2

    headers = {"Authorization": f"Bearer {key}"}
    try:
        answer = httpx2.get(url, headers=headers, timeout=_ANSWER_S, trust_env=False)
    except httpx2.HTTPError:
        return None
    return answer.content if answer.is_success else None


def _size(log: Path) -> int:
    return log.stat().st_size if log.exists() else 0
