"""The models that plugins ask, served while a block runs: loaded once each, or where they are already."""

import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rlsp_cli.backends.local.backend import process_env
from rlsp_cli.backends.vllm import for_questions, serving, serving_environment
from rlsp_cli.child.cause import last_error
from rlsp_cli.child.port import held_port
from rlsp_cli.child.session import session, short_folder
from rlsp_cli.errors import JobError, RecipeError, error_of
from rlsp_cli.http import client_settings, read_key
from rlsp_cli.recipe.issue import did_you_mean
from rlsp_cli.recipe.named_model import NamedModel
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.rewards.models import Address, Addresses
from rlsp_cli.runs.failure import VARIABLE, read_failure

if TYPE_CHECKING:
    import httpx2

_MODULE = "rlsp_cli.backends.local.model_server"
_KEY_VARIABLE = "RLSP_MODEL_KEY"
_LOOPBACK = "127.0.0.1"
_POLL_S = 0.1
_ANSWER_S = 5.0
"""The longest that a server which is there takes to say so."""


@contextmanager
def served_models(
    recipe: Recipe,
    names: Iterable[str],
    folder: Path | None = None,
    tick: Callable[[], None] = lambda: None,
) -> Iterator[Addresses]:
    """Where the recipe's models of these names are; those with a `path` are served for the block.

    What their servers print goes into files of `folder`, if there is one. `tick` is called a few
    times a second while models load, and may raise. RecipeError for a name that the recipe lacks,
    NotReadyError for a model that cannot be loaded; both name it.
    """
    wanted = {name: _named(recipe, name) for name in sorted(set(names))}
    with ExitStack() as running:
        logs = folder or Path(running.enter_context(tempfile.TemporaryDirectory()))
        found = {name: _at_url(name, model) for name, model in wanted.items() if model.url}

        # All of the engine's own first, so that they load at the same time.
        loading = {}
        for name, model in wanted.items():
            if model.path and model.serve == "embedded":
                started = _embedded(recipe, model.path, logs / f"model-{name}.log")
                loading[name] = running.enter_context(started)

        for name, model in wanted.items():
            if model.path and model.serve == "vllm":
                log = logs / f"model-{name}.log"
                found[name] = running.enter_context(_in_vllm(recipe, model.path, log, tick))
        for name, server in loading.items():
            found[name] = server.wait_until_ready(name, tick)
        yield found


def _named(recipe: Recipe, name: str) -> NamedModel:
    if name not in recipe.models:
        raise RecipeError(f"`models` has no {name!r} - {did_you_mean(name, recipe.models)}")
    return recipe.models[name]


def _at_url(name: str, model: NamedModel) -> Address:
    url = str(model.url)
    if not url.startswith(("http://", "https://")):
        expected = "expected one such as http://host:8000/v1"
        raise RecipeError(f"models.{name}.url: {url!r} is no http address; {expected}")
    try:
        return Address(url, model.id or "", read_key(model.key_variable))
    except ValueError as error:
        raise RecipeError(f"models.{name}.key_variable: {error}") from error


@dataclass(frozen=True)
class _Loading:
    """A process of the embedded engine that is going to serve a model."""

    child: "subprocess.Popen[bytes]"
    address: Address
    log: Path
    failure: Path

    def wait_until_ready(self, name: str, tick: Callable[[], None]) -> Address:
        """Its address, once it serves; the error with which it ended if it did."""
        import httpx2

        root = self.address.root
        with httpx2.Client(timeout=_ANSWER_S, **client_settings(root, "")) as client:
            while not _answers(client, f"{root}/health"):
                if self.child.poll() is not None:
                    raise self._error(name)
                tick()
                time.sleep(_POLL_S)
        return self.address

    def _error(self, name: str) -> Exception:
        if self.failure.exists():
            failure = read_failure(self.failure)
            return error_of(failure.exit_code, f"models.{name}: {failure}")
        said = last_error(self.log.read_text(errors="replace"))
        return JobError(f"models.{name}: its server ended with {self.child.returncode}: {said}")


def _answers(client: "httpx2.Client", url: str) -> bool:
    import httpx2

    try:
        return client.get(url).is_success
    except httpx2.HTTPError:
        return False  # it does not listen yet


@contextmanager
def _embedded(recipe: Recipe, path: str, log: Path) -> Iterator[_Loading]:
    """A process with the model, which ends with the block, and with us."""
    key, folder = secrets.token_urlsafe(24), short_folder()
    failure = Path(folder) / "error.json"
    gpus = min(recipe.cluster.gpus_per_node, 1)

    with held_port() as port:
        words = [path, str(port), str(gpus), recipe.model.precision]
        own = {**process_env(recipe), _KEY_VARIABLE: key, VARIABLE: str(failure)}
        command = [sys.executable, "-P", "-m", _MODULE, *words]
        with session(command, {**os.environ, **own}, log, folder) as child:
            address = Address(f"http://{_LOOPBACK}:{port}/v1", path, key)
            yield _Loading(child, address, log, failure)


@contextmanager
def _in_vllm(recipe: Recipe, path: str, log: Path, tick: Callable[[], None]) -> Iterator[Address]:
    """The model in vLLM, beside all else that uses the GPUs."""
    environment = serving_environment(recipe, "models: serve: vllm")
    gpus, precision = recipe.cluster.gpus_per_node, recipe.model.precision
    with serving(
        path, environment, gpus, precision, log.parent, log, tick, for_questions()
    ) as server:
        yield Address(server.url, server.model, server.key)
