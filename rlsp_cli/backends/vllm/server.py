"""vLLM's server for one model: started, waited for, and ended with all that it started.

vLLM comes with the environment of OpenRLHF.
"""

import os
import re
import secrets
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rlsp_cli.backends.environment import Environment, package_version, usable_environment
from rlsp_cli.backends.openrlhf.flags import TESTED
from rlsp_cli.backends.probe import run_probe
from rlsp_cli.backends.vllm.options import NO_OPTIONS, ServeOptions
from rlsp_cli.backends.vllm.parallel import Parallelism, heads_of, parallel, weights_of
from rlsp_cli.child.cause import last_error, likely_cause
from rlsp_cli.child.die_with_parent import end
from rlsp_cli.child.port import held_port
from rlsp_cli.child.session import session, short_folder
from rlsp_cli.errors import JobError, NotReadyError
from rlsp_cli.http import client_settings
from rlsp_cli.recipe.schema import Recipe

if TYPE_CHECKING:
    import httpx2

_TESTED_VLLM = ("0.29.0",)
"""Versions that take new weights while they run as rlsp is tested with."""
_LOOPBACK = "127.0.0.1"
_POLL_S = 0.2
_ANSWER_S = 30.0
"""The longest that a server which is there takes to say so."""
_QUIET_S = 900.0
"""Without a new line in its log a busy server counts as hung; to load one large file takes long.

While it decodes, it writes its throughput every ten seconds.
"""
_ASK_EVERY_S = 5.0
"""Seconds between two questions to a busy server whether its engine lives."""
_UNAVAILABLE = 503
_CPU_CACHE = 2 * 2**30
"""Bytes for keys and values on a CPU, which an evaluation shares with nothing."""
_ON_CPU = {
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # threads wherever the system puts them
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # no worker beside the engine
    "OMP_WAIT_POLICY": "PASSIVE",  # threads that spin would starve each other
}
"""What the environment does not set otherwise."""
_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
"""Of one weight."""
_TOO_LARGE = re.compile(
    r"out of memory|OutOfMemory|not enough GPU memory|No available memory"
    r"|is less than (desired|requested)"
)
"""How vLLM says that a model, or keys and values beside it, do not fit."""


@dataclass(frozen=True)
class Server:
    """A server that is ready; `length` is the most tokens of a prompt and its response together."""

    url: str
    model: str
    key: str = field(repr=False)
    length: int
    process: "_Process" = field(repr=False)

    def refuse_dead(self) -> None:
        """JobError, with the last words of its log, when it has ended."""
        self.process.refuse_dead()

    @property
    def root(self) -> str:
        """The address of what is no part of OpenAI's interface."""
        return self.url.removesuffix("/v1")

    def watch(self) -> "Watch":
        """A watch over the server while it has work to do."""
        return Watch(self.process, partial(_engine_has_died, self.root, self.key))


@dataclass(frozen=True)
class _Process:
    """The process behind a server, and where its part of the log begins."""

    child: "subprocess.Popen[bytes]"
    log: Path
    begin: int

    def refuse_dead(self) -> None:
        """JobError, with why it ended and the next move, when it has."""
        if self.child.poll() is not None:
            raise self._failure()

    def _failure(self) -> JobError:
        # The log may hold servers before this one.
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


class Watch:
    """Looks whether a server that has work to do goes on with it."""

    def __init__(
        self, process: _Process, engine_has_died: Callable[[], bool] = lambda: False
    ) -> None:
        self.process, self.engine_has_died = process, engine_has_died
        self._size, self._last_output = _size(process.log), time.monotonic()
        self._ask_at = time.monotonic() + _ASK_EVERY_S

    def look(self) -> None:
        """JobError when the server has ended, NotReadyError when it is silent for long.

        A server without its engine is ended here.
        """
        self._end_without_engine()
        self.process.refuse_dead()
        before, self._size = self._size, _size(self.process.log)
        if self._size != before:
            self._last_output = time.monotonic()
        elif time.monotonic() - self._last_output > _QUIET_S:
            raise NotReadyError(
                f"vLLM is at work without any output for {_QUIET_S:.0f} s; see {self.process.log}"
            )

    def _end_without_engine(self) -> None:
        # When the engine dies while it takes new weights, vLLM leaves that request unanswered, and
        # will not end before it is: it would wait for ever.
        if time.monotonic() < self._ask_at:
            return
        if self.engine_has_died():
            end(self.process.child)
        self._ask_at = time.monotonic() + _ASK_EVERY_S


def serving_environment(recipe: Recipe, key: str = "eval.serve") -> Environment:
    """The environment that has vLLM; NotReadyError with what to type if missing or untested.

    `key` is the recipe's that asks for it.
    """
    try:
        return usable_environment("openrlhf", recipe, TESTED)
    except NotReadyError as error:
        raise NotReadyError(f"{key} needs vLLM: {error}") from error


def rollout_environment(recipe: Recipe) -> Environment:
    """As `serving_environment`, for a vLLM that takes new weights as the tested one does."""
    environment = serving_environment(recipe, "ppo.sampler: vllm")
    found = package_version(environment, "vllm")
    release = (found or "").partition("+")[0]  # 0.29.0+cpu is the build for CPUs
    if release not in _TESTED_VLLM and not environment.allow_untested:
        raise NotReadyError(
            f"ppo.sampler: vllm needs vLLM {' or '.join(_TESTED_VLLM)}, and "
            f"{environment.command[0]} has {found or 'none'}; `rlsp backends install openrlhf`, or "
            "set backends.openrlhf.allow_untested: true"
        )
    return environment


@contextmanager
def serving(
    model: str,
    environment: Environment,
    gpus: int,
    precision: str,
    run: Path,
    log: Path,
    tick: Callable[[], None],
    options: ServeOptions = NO_OPTIONS,
) -> Iterator[Server]:
    """A server for a folder or hub id `org/name[@revision]`, for this machine alone.

    `gpus` is 0 for the CPU; `precision` the recipe's. What it prints is appended to `log`; `tick`
    is called a few times a second while it loads, and what it raises ends the server. It ends too
    when this process is killed. JobError when it ends by itself; NotReadyError when it hangs or
    there is no GPU.
    """
    dtype = _dtype(precision, gpus)
    parallelism = _parallelism(model, environment, gpus, dtype)
    python = environment.python(run)

    # Sockets have short names; the key keeps other users of this machine out.
    begin, folder, key = _size(log), short_folder(), secrets.token_urlsafe(24)
    with held_port() as port:
        command = serve_command(
            python, model, port, dtype, parallelism, on_cpu=not gpus, more=options
        )
        variables = {**_variables(key, folder, gpus), **options.variables}
        with session(command, variables, log, folder) as child:
            process = _Process(child, log, begin)
            url = f"http://{_LOOPBACK}:{port}"
            length = _wait_until_ready(url, key, Watch(process), tick)
            yield Server(f"{url}/v1", model, key, length, process)


def serve_command(
    python: Sequence[str],
    model: str,
    port: int,
    dtype: str,
    parallelism: Parallelism,
    on_cpu: bool,
    more: ServeOptions = NO_OPTIONS,
) -> list[str]:
    """`vllm serve` for a model, a folder or hub id `org/name[@revision]`."""
    name, _, revision = model.partition("@")
    if Path(model).is_dir():
        name, revision = str(Path(model).absolute()), ""

    options: dict[str, str | int] = {
        "host": _LOOPBACK,
        "port": port,
        "served-model-name": model,
        "dtype": dtype,
        # Or a model's generation_config.json would decide what a request leaves out.
        "generation-config": "vllm",
        # The model's own length, or what fits into memory.
        "max-model-len": "auto",
        "tensor-parallel-size": parallelism.tensor,
        "data-parallel-size": parallelism.data,
    }
    if revision:
        options |= {"revision": revision, "tokenizer-revision": revision}

    flags = ["--enable-prefix-caching", "--disable-uvicorn-access-log"]
    if on_cpu:
        flags.append("--enforce-eager")  # to compile would double the start
        options["kv-cache-memory-bytes"] = _CPU_CACHE

    words = [f"--{option}={value}" for option, value in (options | {**more.options}).items()]
    return [*python, *more.program, "serve", name, *words, *flags, *more.flags]


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
        sees = f"vLLM's environment sees {len(memory)} GPUs"
        raise NotReadyError(f"cluster.gpus_per_node is {gpus}, but {sees}")

    weights = weights_of(model, _BYTES[dtype])
    return parallel(weights, min(memory), gpus, heads_of(model))


def _variables(key: str, folder: str, gpus: int) -> dict[str, str]:
    """The server's variables: sockets lie in `folder`, and no file here shadows a module."""
    own = {"VLLM_API_KEY": key, "TMPDIR": folder, "DO_NOT_TRACK": "1", "PYTHONSAFEPATH": "1"}
    return {**({} if gpus else _ON_CPU), **os.environ, **own}


def _wait_until_ready(url: str, key: str, watch: Watch, tick: Callable[[], None]) -> int:
    """The most tokens that the server takes, as soon as it serves.

    JobError when it has ended; NotReadyError when it is silent for long.
    """
    while True:
        watch.look()
        tick()

        if _get(f"{url}/health", key) is not None:
            models = _get(f"{url}/v1/models", key)
            if models is not None:
                return int(models.json()["data"][0]["max_model_len"])
        time.sleep(_POLL_S)


def _get(url: str, key: str) -> "httpx2.Response | None":
    """A successful answer; None before the server listens, or when it refuses."""
    import httpx2

    try:
        answer = httpx2.get(url, timeout=_ANSWER_S, **client_settings(url, key))
    except httpx2.HTTPError:
        return None
    return answer if answer.is_success else None


def _engine_has_died(url: str, key: str) -> bool:
    """Whether a server that was ready says so, or no longer listens because it is about to end."""
    import httpx2

    try:
        answer = httpx2.get(f"{url}/health", timeout=_ANSWER_S, **client_settings(url, key))
    except httpx2.ConnectError:
        return True
    except httpx2.HTTPError:
        return False  # it is busy
    return answer.status_code == _UNAVAILABLE


def _size(log: Path) -> int:
    return log.stat().st_size if log.exists() else 0
