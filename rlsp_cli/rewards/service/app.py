"""The service's HTTP surface: its endpoints, who may use them, and when it stops."""

import asyncio
import hmac
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from rlsp_cli.errors import DataError, JobError, RlspError, SafetyError
from rlsp_cli.recipe.reward import Reward
from rlsp_cli.rewards.breaker import refuse_broken, refuse_failing, refuse_stopped
from rlsp_cli.rewards.plain import as_sample, plain_score
from rlsp_cli.rewards.sample import Sample, SampleScore, Score
from rlsp_cli.rewards.service.body import Bodies, TooLargeError, TooSlowError
from rlsp_cli.rewards.service.counters import Counters
from rlsp_cli.rewards.service.gather import BusyError, Gatherer
from rlsp_cli.rewards.service.once import Once
from rlsp_cli.rewards.service.openrlhf import (
    Count,
    Means,
    RequestError,
    heldout_reply,
    is_heldout,
    read_request,
    reply,
    request_number,
)
from rlsp_cli.rewards.service.turns import TurnTaking

_WINDOW = 512
"""Samples over which the breaker counts failures."""
_JUDGED_FROM = 64
"""Samples that the breaker waits for: one failure among the first three is no rate."""
_STATUS: dict[type[Exception], int] = {
    TooLargeError: 413,
    TooSlowError: 408,
    RequestError: 422,
    DataError: 422,
    JobError: 409,
}
"""Errors of a request, or of the training that it reports; all others are ours or a plugin's."""


class JobJournal(Protocol):
    """The record of a training job: its samples, and the events that it reports."""

    @property
    def step(self) -> int:
        """The rollout step of the samples that come now."""

    @property
    def means(self) -> Means:
        """What stands in for missing values, as a service before this one left it."""

    def replies(self) -> Iterator[tuple[int, Any]]:
        """Its replies, by request number, to requests that may be repeated."""

    def add(
        self,
        request: int | None,
        samples: Sequence[Sample],
        scores: Sequence[SampleScore],
        said: Any,
    ) -> None:
        """Record samples of this step, and the reply to them."""

    def event(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Record an event of the job, and return the reply to it."""


@dataclass
class Service:
    """The endpoints and what they share.

    `step_at` turns the number of served samples into a rollout step, where no `journal` knows it;
    `alpha_at` turns a step into its alpha. `turns` is there if responses have turns. `stop` is
    called once, when failing rewards end the service.
    """

    reward: Reward
    gatherer: Gatherer
    verify: Callable[[Sequence[Sample]], list[Score]]
    step_at: Callable[[int], int]
    alpha_at: Callable[[int], float]
    count: Count | None = None
    endings: Sequence[str] = ()
    max_tokens: int | None = None
    token: str | None = None
    journal: JobJournal | None = None
    turns: TurnTaking | None = None
    stop: Callable[[SafetyError], None] = lambda error: None
    tripped: SafetyError | None = None
    served: int = 0
    means: Means = field(default_factory=Means)
    once: Once = field(default_factory=Once)
    window: deque[tuple[Sample, SampleScore]] = field(default_factory=lambda: deque(maxlen=_WINDOW))
    counters: Counters = field(default_factory=Counters)
    bodies: Bodies = field(default_factory=Bodies)

    def follow(self, journal: JobJournal) -> None:
        """Keep this journal, and go on where a service that died has left it."""
        self.journal, self.means = journal, journal.means
        for number, said in journal.replies():
            self.once.know(number, said)

    def app(self) -> Starlette:
        """The ASGI application."""
        routes = [
            Route("/", self._guarded(self.openrlhf), methods=["POST"]),
            Route("/get_reward", self._guarded(self.openrlhf), methods=["POST"]),
            Route("/score", self._guarded(self.native), methods=["POST"]),
            Route("/turn", self._guarded(self.turn), methods=["POST"]),
            Route("/event", self._guarded(self.event), methods=["POST"]),
            Route("/health", self.health),
            Route("/metrics", self._guarded(self.metrics)),
        ]
        return Starlette(routes=routes)

    async def openrlhf(self, request: Request) -> Response:
        """OpenRLHF's protocol."""
        body = await self.bodies.read(request)
        samples, scalar = read_request(body, self.count, self.endings, self.max_tokens)
        return JSONResponse(await self._answer(body, samples, scalar))

    async def turn(self, request: Request) -> Response:
        """What follows a model's turn; at the end of a response the reply of OpenRLHF's protocol."""
        body = await self.bodies.read(request)
        if self.turns is None or not isinstance(body, dict):
            raise RequestError("responses have no turns here: the recipe has no continuation")

        after = await asyncio.to_thread(self.turns.follow, body, self.step)
        if after.ended is None:
            return JSONResponse(after.told)
        return JSONResponse(after.told | await self._answer(body, [after.ended], scalar=True))

    async def _answer(self, body: Any, samples: Sequence[Sample], scalar: bool) -> Any:
        """The reply about a request's samples."""
        # Not a sample of the training: it counts for no step, and its reward is of no use.
        if is_heldout(body):
            (score,) = await asyncio.to_thread(self.verify, samples)
            return heldout_reply(score)

        number = request_number(body)
        return await self.once.reply(number, lambda: self._reply(number, samples, scalar))

    async def native(self, request: Request) -> Response:
        """All components of `{"samples": [{prompt, response, reference, ...}]}`."""
        body = await self.bodies.read(request)
        rows = body.get("samples") if isinstance(body, dict) else None
        if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
            raise RequestError("expected an object with a list of samples")

        samples = [as_sample(row, f"sample {n}", self.count) for n, row in enumerate(rows)]
        scores = await self._score(samples)
        data = [plain_score(sample, score) for sample, score in zip(samples, scores, strict=True)]
        return JSONResponse({"schema": "rlsp.scores/1", "data": data})

    async def event(self, request: Request) -> Response:
        """An event that a training job reports, for its journal."""
        body = await self.bodies.read(request)
        if self.journal is None or not isinstance(body, dict):
            raise RequestError("this service keeps no journal of a training job")
        return JSONResponse(self.journal.event(body))

    @property
    def step(self) -> int:
        """The rollout step of the samples that come now."""
        return self.step_at(self.served) if self.journal is None else self.journal.step

    async def health(self, _: Request) -> Response:
        """200 while it scores, 503 once failing rewards have stopped it."""
        state = {
            "state": "stopped" if self.tripped else "ok",
            "samples": self.served,
            "in_work": self.gatherer.in_work,
        }
        return JSONResponse(state, 503 if self.tripped else 200)

    async def metrics(self, _: Request) -> Response:
        """Counters in Prometheus' format."""
        return PlainTextResponse(self.counters.page(self.gatherer))

    async def _reply(self, number: int | None, samples: Sequence[Sample], scalar: bool) -> Any:
        """The reply in OpenRLHF's form, after the journal has recorded it."""
        # Before the scoring: the step may change while samples wait for the others of a group.
        alpha = self.alpha_at(self.step)
        scores = await self._score(samples)
        answer = reply(scores, self.reward, self.means, alpha, scalar)
        if self.journal is not None:
            self.journal.add(number, samples, scores, answer)
        return answer

    async def _score(self, samples: Sequence[Sample]) -> list[SampleScore]:
        step = self.step
        samples = [
            sample if sample.step is not None else replace(sample, step=step) for sample in samples
        ]

        with self.counters.seconds.time():
            gathered = await self.gatherer.score(samples)
        self.served += len(samples)

        # A reward that compares samples may abstain where some of the group never came: that is no
        # failure of the reward.
        judged = []
        for sample, one in zip(samples, gathered, strict=True):
            self.counters.count(one.score)
            if one.is_whole:
                judged.append((sample, one.score))

        self._judge(judged)
        return [one.score for one in gathered]

    def _judge(self, scored: Sequence[tuple[Sample, SampleScore]]) -> None:
        """Trip the breaker when a component ended as `stop`, or too many recent samples failed.

        Without a journal, clients may send samples that cannot be judged; then only a component
        that broke counts as a failure.
        """
        self.window.extend(_outline(sample, score) for sample, score in scored)
        refuse = refuse_broken if self.journal is None else refuse_failing

        try:
            refuse_stopped(*_columns(scored), self.reward)
            if len(self.window) >= _JUDGED_FROM:
                refuse(*_columns(self.window), self.reward)
        except SafetyError as error:
            if self.tripped is None:
                self.tripped = error
                self.stop(error)

    def _guarded(
        self, endpoint: Callable[[Request], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        """The endpoint for clients with the token, with errors as a status and one line."""

        async def answer(request: Request) -> Response:
            if not self._knows(request):
                return _error(
                    401, "a token is needed: Authorization: Bearer TOKEN, or ?token=TOKEN"
                )
            if self.tripped is not None:
                return _error(503, f"stopped: {self.tripped}")

            try:
                return await endpoint(request)
            except BusyError:
                self.counters.busy.inc()
                return _error(503, "too many samples wait; try again", {"Retry-After": "1"})
            except (RequestError, RlspError) as error:
                return _error(_STATUS.get(type(error), 500), str(error))

        return answer

    def _knows(self, request: Request) -> bool:
        if self.token is None:
            return True

        # Some clients are configured by a URL alone, so that may carry the token.
        scheme, _, header = request.headers.get("Authorization", "").partition(" ")
        query = request.query_params.get("token", "")
        given = header.strip() if scheme.lower() == "bearer" else query

        # In constant time, or the time to refuse would tell how much of a guess is right.
        return hmac.compare_digest(given.encode(), self.token.encode())


def _outline(sample: Sample, score: SampleScore) -> tuple[Sample, SampleScore]:
    """A sample and its score without the texts, which the window would keep for hours."""
    correctness = replace(score.correctness, answer=None)
    exploration = tuple(replace(part, answer=None) for part in score.exploration)
    light = replace(score, correctness=correctness, exploration=exploration)
    return Sample(prompt="", response="", id=sample.id, step=sample.step), light


def _columns(pairs: Iterable[tuple[Sample, SampleScore]]) -> tuple[list[Sample], list[SampleScore]]:
    return [sample for sample, _ in pairs], [score for _, score in pairs]


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"error": message}, status, headers)
