"""Sampling responses with a key-value cache: sequences leave as they finish, and others take their place.

Shapes: B sequences that are decoded at once, V words of the vocabulary.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from transformers import PreTrainedModel

from rlsp_cli.engine.draw import choose, uniforms
from rlsp_cli.engine.running import Running
from rlsp_cli.engine.trial import Handling, handling_of
from rlsp_cli.rewards.turns import Turns

_COMPACT_BELOW = 0.8
"""Share of the batch that is still running below which the finished ones are dropped: each drop copies the cache."""

_LOOK_EVERY = 8
"""Tokens between two looks at what has finished, on a GPU: each look waits for all that it has been given to do."""


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn; `temperature` 0 is greedy.

    A response ends at an end token, at the limit, or when `stops` is true of its tokens so far.

    With `record`, the log-probability of each token and the entropy of its choice are kept, both in
    nats and of the softmax at that temperature.
    """

    max_new_tokens: int
    temperature: float
    top_p: float = 1.0
    record: float | None = None
    stops: Callable[[Sequence[int]], bool] | None = None


@dataclass(frozen=True)
class Generated:
    """Tokens of one response, its end token included; `truncated` when the length limit ended it.

    `stopped` when `Sampling.stops` ended it.

    `logp` and `entropy` have an entry for each token that the model chose, where they were
    recorded. `turns` has what came from elsewhere, whose tokens are at `foreign`.
    """

    tokens: list[int]
    truncated: bool
    stopped: bool = False
    logp: list[float] = field(default_factory=list)
    entropy: list[float] = field(default_factory=list)
    foreign: Sequence[range] = ()
    turns: Turns | None = None

    @property
    def own_tokens(self) -> int:
        """How many tokens the model chose."""
        return len(self.tokens) - sum(map(len, self.foreign))


@torch.no_grad()  # not inference_mode, under which autocast would cast every weight again at each step
def generate(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    sampling: Sampling,
    *,
    seeds: Sequence[int],
    eos_ids: Collection[int],
    pad_id: int,
    at_once: int,
    limits: Sequence[int] | None = None,
) -> Iterator[tuple[int, Generated]]:
    """(row, response) to each prompt, as they finish; at most `at_once` are decoded at the same time.

    `limits` are those of each response where they differ, at most `sampling.max_new_tokens`.
    A response depends on its prompt and its seed alone, up to the rounding of sums in batches of
    other sizes. Equal prompts that start together are read once. RecipeError for a model whose
    cache cannot be relied on (see `trial.py`).
    """
    handling = handling_of(model)
    limits = limits or [sampling.max_new_tokens] * len(prompts)
    batch = _Batch(model, sampling, eos_ids, limits)
    for group in _groups(prompts, handling):
        waiting = deque(group)
        while waiting or batch.going:
            free = at_once - len(batch.going)
            if waiting and (not batch.going or (handling.grows and free >= _refill(at_once))):
                rows = [waiting.popleft() for _ in range(min(free, len(waiting)))]
                starting = Running(model, [prompts[row] for row in rows], pad_id, handling.grows)
                batch.start(rows, starting, [seeds[row] for row in rows])
            elif handling.drops_rows and len(batch.going) < _COMPACT_BELOW * len(batch.rows):
                batch.drop_finished()
            yield from batch.advance()


def _refill(at_once: int) -> int:
    """Free places that are worth a copy of the cache."""
    return max(1, round(at_once * (1 - _COMPACT_BELOW)))


def _groups(prompts: Sequence[Sequence[int]], handling: Handling) -> Iterator[list[int]]:
    """Rows that can be decoded together: all of them, or those with prompts of one length."""
    if handling.mixes_lengths:
        yield list(range(len(prompts)))
        return
    for length in sorted({len(prompt) for prompt in prompts}):
        yield [row for row, prompt in enumerate(prompts) if len(prompt) == length]


@dataclass
class _Partial:
    """A response that is being written."""

    tokens: list[int] = field(default_factory=list)
    stopped: bool = False
    logp: list[float] = field(default_factory=list)
    entropy: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class _Choice:
    """(B,) tokens that were drawn at one position; with what was recorded of the draw, (B, 2)."""

    tokens: torch.Tensor
    recorded: torch.Tensor | None


class _Batch:
    """The sequences that are decoded at the moment, and what has been drawn for them so far."""

    def __init__(
        self,
        model: PreTrainedModel,
        sampling: Sampling,
        eos_ids: Collection[int],
        limits: Sequence[int],
    ) -> None:
        self.model, self.sampling, self.eos = model, sampling, frozenset(eos_ids)
        self.limits = limits
        self.running: Running | None = None
        self.rows: list[int] = []  # (B,) finished ones included, until they are dropped
        self.going: dict[int, _Partial] = {}  # by row
        self.uniform = torch.empty(0)  # (B, max_new_tokens + 1)
        self.position = self.alive = torch.empty(0)  # (B,) tokens drawn; 1 where the row is going

    def start(self, rows: Sequence[int], running: Running, seeds: Sequence[int]) -> None:
        """Decode `rows` beside those that are going; only a growing cache takes them in."""
        device = self.model.device
        # One more than is drawn: a row that has reached the limit stands there until it is dropped.
        uniform = uniforms(seeds, self.sampling.max_new_tokens + 1, device)
        position = torch.zeros(len(rows), dtype=torch.long, device=device)
        if self.going and self.running is not None:
            self.drop_finished()
            self.running.join(running)
            self.rows = [*self.rows, *rows]
            self.uniform = torch.cat([self.uniform, uniform])
            self.position = torch.cat([self.position, position])
        else:
            self.running, self.rows = running, list(rows)
            self.uniform, self.position = uniform, position

        self.going |= {row: _Partial() for row in rows}
        self._note_alive()

    def advance(self) -> list[tuple[int, Generated]]:
        """Draw tokens until the next look at what has finished; returns that."""
        assert self.running is not None, "start has been called"
        choices = []
        for _ in range(self._until_look()):
            uniform = self.uniform.gather(1, self.position[:, None])[:, 0]
            choices.append(self._choose(self.running.logits(), uniform))
            self.running.append(choices[-1].tokens, self.alive)
            # A finished row stands still: its position would leave the model's range in the end.
            self.position = self.position + self.alive

        finished = self._collect(choices)
        if finished:
            self._note_alive()
        return finished

    def drop_finished(self) -> None:
        """Take the finished sequences out of the batch."""
        assert self.running is not None, "start has been called"
        places = [place for place, row in enumerate(self.rows) if row in self.going]
        if len(places) == len(self.rows):
            return
        kept = torch.tensor(places, device=self.model.device)
        self.running.keep(kept)
        self.rows = [self.rows[place] for place in places]
        self.uniform, self.position = self.uniform[kept], self.position[kept]
        self._note_alive()

    def _until_look(self) -> int:
        """Tokens to draw before the next look; no row outgrows the limit meanwhile."""
        left = min(self.limits[row] - len(one.tokens) for row, one in self.going.items())
        every = _LOOK_EVERY if self.model.device.type != "cpu" else 1
        return min(every, left)

    def _choose(self, logits: torch.Tensor, uniform: torch.Tensor) -> _Choice:
        sampling = self.sampling
        tokens = choose(logits, sampling.temperature, sampling.top_p, uniform)
        if sampling.record is None:
            return _Choice(tokens, None)

        logp = (logits.float() / sampling.record).log_softmax(-1)
        chosen = logp.gather(1, tokens[:, None])[:, 0]
        return _Choice(tokens, torch.stack([chosen, -(logp.exp() * logp).sum(-1)], -1))

    def _collect(self, choices: Sequence[_Choice]) -> list[tuple[int, Generated]]:
        """Write down what was drawn, as far as each response goes; returns those that ended."""
        # One transfer from the device for all tokens, and one for what was recorded.
        tokens = torch.stack([choice.tokens for choice in choices], 1).tolist()
        recorded = [choice.recorded for choice in choices if choice.recorded is not None]
        pairs = torch.stack(recorded, 1).tolist() if recorded else [[]] * len(self.rows)

        ended = []
        for row, drawn, facts in zip(self.rows, tokens, pairs, strict=True):
            if row in self.going and self._extend(row, drawn, facts):
                partial = self.going.pop(row)
                truncated = not partial.stopped and partial.tokens[-1] not in self.eos
                ended.append((row, Generated(truncated=truncated, **vars(partial))))
        return ended

    def _extend(self, row: int, drawn: Sequence[int], facts: Sequence[Sequence[float]]) -> bool:
        """Add tokens up to an end; returns whether the response has ended."""
        partial = self.going[row]
        for place, token in enumerate(drawn):
            partial.tokens.append(token)
            if facts:
                partial.logp.append(facts[place][0])
                partial.entropy.append(facts[place][1])
            if token in self.eos:
                return True
            if self.sampling.stops and self.sampling.stops(partial.tokens):
                partial.stopped = True
                return True
        return len(partial.tokens) == self.limits[row]

    def _note_alive(self) -> None:
        going = [int(row in self.going) for row in self.rows]
        self.alive = torch.tensor(going, device=self.model.device)
