"""Run the service until a signal or the breaker ends it; open requests are answered first."""

import ipaddress
import os
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial

import uvicorn

from rlsp_cli.errors import NotReadyError, SafetyError, UsageError
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.rewards.combine import alpha_of
from rlsp_cli.rewards.models import NO_MODELS, Addresses
from rlsp_cli.rewards.sample import Sample, SampleScore
from rlsp_cli.rewards.scorer import Scorer
from rlsp_cli.rewards.service.app import JobJournal, Service
from rlsp_cli.rewards.service.connection import Connection
from rlsp_cli.rewards.service.gather import Gatherer, Submit
from rlsp_cli.rewards.service.turns import TurnTaking
from rlsp_cli.rewards.token_count import special_tokens, token_counter

TOKEN_VARIABLE = "RLSP_REWARD_TOKEN"  # noqa: S105 (a name, not a token)
_PENDING = 2048
"""Connections that the system queues: a rollout's workers connect at once."""


def run_service(
    recipe: Recipe,
    host: str,
    port: int,
    say: Callable[[str], None],
    *,
    tokenizer: str | None = None,
    backlog: int = 1024,
    group_wait_s: float = 60.0,
    journal: JobJournal | None = None,
    models: Addresses = NO_MODELS,
    turns: TurnTaking | None = None,
) -> None:
    """Serve a recipe's rewards, to a training job if there is a `journal` of one.

    Plugins can ask `models`. `turns` answers between the words of its model.

    UsageError when others could reach it without a token, NotReadyError when the address is taken,
    SafetyError when failing rewards ended it.
    """
    token = _token(host)
    alpha_of(recipe, 1)  # UsageError for a schedule whose end is unknown, before anything is served

    # Before the workers start, which takes longer than finding out that the port is taken.
    listener = _bind(host, port)

    with Scorer(recipe.reward, recipe.plugins, models) as scorer:
        gatherer = Gatherer(
            _submit_to(scorer, recipe), _group_size(recipe, scorer), group_wait_s, backlog
        )
        service = _service(recipe, gatherer, scorer, tokenizer)
        if journal is not None:
            service.follow(journal)
        service.turns = turns

        server = uvicorn.Server(_config(service))
        service.token, service.stop = token, lambda _: setattr(server, "should_exit", True)
        say(f"listening on http://{host}:{listener.getsockname()[1]}")
        server.run(sockets=[listener])
        gatherer.close()

    if service.tripped is not None:
        raise SafetyError(str(service.tripped))


def _service(recipe: Recipe, gatherer: Gatherer, scorer: Scorer, tokenizer: str | None) -> Service:
    """The service of a recipe."""
    return Service(
        recipe.reward,
        gatherer,
        verify=scorer.verify,
        step_at=_step_of(recipe),
        alpha_at=partial(alpha_of, recipe),
        count=token_counter(recipe.model, tokenizer),
        endings=special_tokens(recipe.model, tokenizer),
        max_tokens=recipe.ppo.max_new_tokens if recipe.ppo else None,
    )


def _config(service: Service) -> uvicorn.Config:
    return uvicorn.Config(
        service.app(), http=Connection, ws="none", log_level="warning", access_log=False
    )


def _token(host: str) -> str | None:
    """The token that clients need, if any; UsageError when it is needed and missing, or blank."""
    token = os.environ.get(TOKEN_VARIABLE)
    if token and not token.strip():
        raise UsageError(f"{TOKEN_VARIABLE} is blank; set it to a secret, or unset it")
    if not token and not _is_loopback(host):
        raise UsageError(
            f"--host {host}: others can reach it, so a token is needed; set {TOKEN_VARIABLE}"
        )
    return token.strip() if token else None


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        # At once, so that a client that has read our first line can connect.
        listener.listen(_PENDING)
    except OSError as error:
        raise NotReadyError(
            f"{host}:{port}: cannot listen here: {error.strerror}; choose another --port"
        ) from error
    return listener


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _group_size(recipe: Recipe, scorer: Scorer) -> int:
    """How many samples of a prompt to wait for: all of them if a reward compares them, else one."""
    needs_group = any(use.takes_group for use in scorer.exploration)
    return recipe.ppo.samples_per_prompt if recipe.ppo and needs_group else 1


def _step_of(recipe: Recipe) -> Callable[[int], int]:
    """The rollout step after a number of served samples, since requests do not carry it."""
    size = recipe.ppo.responses if recipe.ppo else 1
    return lambda served: served // size


def _submit_to(scorer: Scorer, recipe: Recipe) -> Submit:
    """Score samples with the alpha of their step."""

    def submit(samples: Sequence[Sample]) -> list["Future[SampleScore]"]:
        alphas = [alpha_of(recipe, sample.step or 0) for sample in samples]
        return scorer.submit(samples, alphas)

    return submit
