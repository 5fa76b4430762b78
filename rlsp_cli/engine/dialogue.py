"""Responses in turns: the model writes, a continuation answers, the model goes on.

Token ids in, token ids out: what the model wrote keeps its ids, and a text from elsewhere is encoded
once and appended. A text that is encoded again could become other tokens, whose log-probabilities are
not those of sampling.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Protocol

from transformers import PreTrainedTokenizerBase

from rlsp_cli.engine.decode import Generated
from rlsp_cli.engine.foreign import ForeignText
from rlsp_cli.engine.prompt import decode
from rlsp_cli.engine.seed import derive_seed
from rlsp_cli.engine.stop_text import stops_at
from rlsp_cli.recipe.continuation import ContinuationUse
from rlsp_cli.rewards.continuing import Continuer, Reply
from rlsp_cli.rewards.sample import Sample
from rlsp_cli.rewards.thinking import whole
from rlsp_cli.rewards.turns import MODEL, Turn, Turns, TurnsOutcome

Ask = Callable[[Sequence[Sample]], Sequence[Reply]]
"""What follows each of some responses so far."""

_CHARACTERS_PER_TOKEN = 64
"""A text with more is not even encoded."""


class Draw(Protocol):
    """Has the model write a turn of some responses, by their rows."""

    def __call__(
        self, rows: Sequence[int], sequences: Sequence[list[int]], limits: Sequence[int], turn: int
    ) -> list[Generated]:
        """After the tokens of each, at most so many; `turn` counts from 0."""
        ...


@dataclass
class Draft:
    """A response that is being written; `outcome` is None while it goes on."""

    prompt: list[int]
    known: Sample
    tokens: list[int] = field(default_factory=list)
    logp: list[float] = field(default_factory=list)
    entropy: list[float] = field(default_factory=list)
    foreign: list[range] = field(default_factory=list)
    said: list[Turn] = field(default_factory=list)
    other_tokens: int = 0
    stopped: bool = False
    outcome: TurnsOutcome | None = None
    reason: str | None = None

    def write(self, generated: Generated, tokenizer: PreTrainedTokenizerBase) -> None:
        """Add what the model wrote."""
        self.tokens += generated.tokens
        self.logp += generated.logp
        self.entropy += generated.entropy
        self.said.append(Turn(MODEL, decode([generated.tokens], tokenizer)[0]))
        self.stopped = generated.stopped
        if generated.truncated:
            self.end("length")

    def hear(self, by: str, text: str, tokens: Sequence[int]) -> None:
        """Add a text from elsewhere."""
        start = len(self.tokens)
        self.tokens += tokens
        self.foreign.append(range(start, len(self.tokens)))
        self.said.append(Turn(by, text))

    def close(self, by: str, text: str) -> None:
        """End with a text from elsewhere, which the model does not read."""
        self.said.append(Turn(by, text))
        self.end("whole")

    def end(self, outcome: TurnsOutcome, reason: str | None = None) -> None:
        """Let the response end here."""
        self.outcome, self.reason = outcome, reason

    def sample(self) -> Sample:
        """The response so far, as a continuation sees it: without the reference."""
        turns = self._turns()
        return replace(
            self.known,
            response=own_text(self.known.prompt, turns),
            reference=None,
            num_tokens=len(self.tokens) - turns.foreign_tokens,
            turns=turns,
        )

    def generated(self) -> Generated:
        """The whole response."""
        return Generated(
            self.tokens,
            truncated=self.outcome in ("length", "turns", "overflow", "flood"),
            stopped=self.stopped,
            logp=self.logp,
            entropy=self.entropy,
            foreign=self.foreign,
            turns=self._turns(),
        )

    def _turns(self) -> Turns:
        foreign = sum(map(len, self.foreign))
        outcome = self.outcome or "whole"
        return Turns(tuple(self.said), foreign, outcome, self.reason, self.other_tokens)


@dataclass(frozen=True)
class Dialogue:
    """A continuation as the engine sees it: what answers, under which name, within which limits."""

    ask: Ask
    by: str
    settings: ContinuationUse
    tokenizer: PreTrainedTokenizerBase

    @cached_property
    def stops(self) -> Callable[[Sequence[int]], bool] | None:
        """Whether the last token completes a text that ends the model's turn."""
        return stops_at(self.settings.stop, self.tokenizer)

    @cached_property
    def foreign(self) -> ForeignText:
        """How texts from elsewhere become tokens."""
        return ForeignText(self.tokenizer)

    def respond(
        self, prompts: Sequence[list[int]], samples: Sequence[Sample], limit: int, draw: Draw
    ) -> list[Generated]:
        """A response to each prompt, of at most `limit` tokens with those from elsewhere.

        `samples` have what is known of each prompt.
        """
        drafts = [Draft(prompt, sample) for prompt, sample in zip(prompts, samples, strict=True)]
        going = self.first(len(drafts))
        for turn in itertools.count():
            if not going:
                break
            sequences = [[*drafts[row].prompt, *drafts[row].tokens] for row in going]
            limits = [limit - len(drafts[row].tokens) for row in going]
            drawn = draw(going, sequences, limits, turn)

            for row, generated in zip(going, drawn, strict=True):
                drafts[row].write(generated, self.tokenizer)
            going = self._answered(drafts, going, limit)

        return [draft.generated() for draft in drafts]

    def first(self, count: int) -> list[int]:
        """The rows of the responses that the model begins with."""
        return list(range(count))

    def hearer(self, row: int) -> int:
        """The row of the response that goes on with what is said after the words of a row."""
        return row

    def follow(self, draft: Draft, reply: Reply, limit: int) -> None:
        """Let a response of at most `limit` tokens go on, or end, with what follows its last turn."""
        draft.other_tokens += reply.tokens
        if reply.outcome == "text":
            self.tell(draft, reply.text, limit)
        elif reply.outcome == "closing":
            draft.close(self.by, reply.text)
        else:
            draft.end(reply.outcome, reply.reason)

    def tell(self, draft: Draft, text: str, limit: int) -> None:
        """Append a text to a response, or end it where that cannot be."""
        settings, most = self.settings, self.settings.max_tokens
        if len(draft.foreign) == settings.max_turns:
            draft.end("turns", f"went on after max_turns={settings.max_turns}")
            return

        flood = f"a text of {len(text)} characters, longer than max_tokens={most}"
        if len(text) > _CHARACTERS_PER_TOKEN * most:
            draft.end("flood", flood)
            return

        tokens = self.foreign.encode(text)
        if len(tokens) > most:
            draft.end("flood", flood)
            return

        # A turn that ended by itself is followed by a new one, and a stop text by more of the same.
        if not draft.stopped:
            tokens = self.foreign.as_turn(tokens, draft.tokens[-1])
        left = limit - len(draft.tokens)
        if len(tokens) >= left:
            draft.end("overflow", f"a text of {len(tokens)} tokens, {left} were left")
            return
        draft.hear(self.by, text, tokens)

    def _answered(self, drafts: Sequence[Draft], rows: Sequence[int], limit: int) -> list[int]:
        """The rows that go on, after what the continuation says."""
        asked = [row for row in rows if drafts[row].outcome != "length"]
        replies = self.ask([drafts[row].sample() for row in asked]) if asked else ()

        for row, reply in zip(asked, replies, strict=True):
            self.follow(drafts[self.hearer(row)], reply, limit)

        going = [self.hearer(row) for row in asked]
        return [row for row in going if drafts[row].outcome is None]


def dialogue_of(continuer: Continuer, tokenizer: PreTrainedTokenizerBase) -> Dialogue:
    """The dialogue with a continuation; DataError if the chat template has no place for it."""
    found = Dialogue(continuer.ask, continuer.name, continuer.settings, tokenizer)
    _ = found.foreign  # refused before anything is sampled
    return found


def turn_seeds(seeds: Sequence[int], turn: int) -> list[int]:
    """The seeds of a later turn, from those of the responses; the first turn has these."""
    return [derive_seed(seed, "turn", turn) for seed in seeds] if turn else list(seeds)


def own_text(prompt: str, turns: Turns) -> str:
    """What the model wrote in all of its turns, a line break between two of them."""
    return whole(prompt, "\n".join(turns.own))
