"""Decoding for evaluation, with a model of the embedded engine."""

import math
from collections.abc import Container, Iterator, Sequence

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from rlsp_cli.engine.decode import Generated, Sampling, generate
from rlsp_cli.engine.dialogue import Dialogue, own_text, turn_seeds
from rlsp_cli.engine.draw import row_seeds
from rlsp_cli.engine.ending import end_ids
from rlsp_cli.engine.model import refuse_overflow
from rlsp_cli.engine.precision import autocast
from rlsp_cli.engine.prompt import decode, encode_prefix, encode_request
from rlsp_cli.engine.stop_text import stops_at
from rlsp_cli.engine.trial import handling_of
from rlsp_cli.evals.samplers import Decoding, Request, Response
from rlsp_cli.rewards.sample import Sample
from rlsp_cli.rewards.thinking import whole

_BATCHES_PER_BLOCK = 4
"""A resumed evaluation repeats at most one block; at its end, and only there, places stay empty."""


class LocalSampler:
    """A `rlsp_cli.evals.samplers.sampler.Sampler` that runs a model in this process, `batch` responses at once."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        precision: str,
        batch: int = 64,
        dialogue: Dialogue | None = None,
    ) -> None:
        self.model, self.tokenizer, self.precision, self.batch = (
            model.eval(),
            tokenizer,
            precision,
            batch,
        )
        self.dialogue = dialogue
        handling_of(self.model)  # refuses, before anything is asked, a model that cannot be decoded

    def answer(
        self, requests: Sequence[Request], decoding: Decoding, done: Container[int] = ()
    ) -> Iterator[tuple[int, Response]]:
        """Block by block, the longest prompts first, so that too long ones show early.

        A block that lacks one response is decoded whole: in other company the sums of a batch are
        rounded otherwise, and now and then another token is drawn.
        """
        prompts = [encode_request(request, self.tokenizer) for request in requests]
        order = sorted(range(len(requests)), key=lambda row: -len(prompts[row]))
        size = _BATCHES_PER_BLOCK * self.batch
        for block, start in enumerate(range(0, len(order), size)):
            rows = order[start : start + size]
            if all(row in done for row in rows):
                continue
            asked, texts = [requests[row] for row in rows], [prompts[row] for row in rows]
            seeds = _seeds(asked, decoding.seed, block)
            for place, generated in self._respond(asked, texts, decoding, seeds):
                row = rows[place]
                if row not in done:
                    yield row, self._response(requests[row], generated, bool(decoding.stop))

    def _respond(
        self,
        requests: Sequence[Request],
        prompts: Sequence[list[int]],
        decoding: Decoding,
        seeds: Sequence[int],
    ) -> Iterator[tuple[int, Generated]]:
        """The responses as they end; in turns, all of them once the last has ended."""
        refuse_overflow(self.model, prompts, decoding.max_new_tokens)
        if self.dialogue is None:
            yield from self._decode(prompts, decoding, seeds)
            return

        def draw(
            rows: Sequence[int], sequences: Sequence[list[int]], limits: Sequence[int], turn: int
        ) -> list[Generated]:
            later = turn_seeds([seeds[row] for row in rows], turn)
            found = dict(self._decode(sequences, decoding, later, limits))
            return [found[place] for place in range(len(rows))]

        samples = [_unanswered(request, decoding) for request in requests]
        yield from enumerate(self.dialogue.respond(prompts, samples, decoding.max_new_tokens, draw))

    def _decode(
        self,
        prompts: Sequence[list[int]],
        decoding: Decoding,
        seeds: Sequence[int],
        limits: Sequence[int] | None = None,
    ) -> Iterator[tuple[int, Generated]]:
        sampling = Sampling(
            decoding.max_new_tokens,
            decoding.temperature,
            decoding.top_p,
            record=1.0 if decoding.logprobs else None,
            stops=self.dialogue.stops if self.dialogue else stops_at(decoding.stop, self.tokenizer),
        )
        with autocast(self.model, self.precision):
            yield from generate(
                self.model,
                prompts,
                sampling,
                seeds=seeds,
                eos_ids=end_ids(self.model, self.tokenizer),
                pad_id=self.tokenizer.pad_token_id,
                at_once=self.batch,
                limits=limits,
            )

    def _response(self, request: Request, generated: Generated, goes_on: bool) -> Response:
        scores = {"logprob": math.fsum(generated.logp)} if generated.logp else {}
        turns = generated.turns
        text = own_text(request.prompt, turns) if turns else self._text(request, generated.tokens)
        return Response(
            text,
            generated.own_tokens,
            generated.truncated,
            scores,
            generated.stopped,
            tuple(generated.tokens) if goes_on else (),
            other_tokens=turns.other_tokens if turns else 0,
            turns=turns,
        )

    def _text(self, request: Request, response: Sequence[int]) -> str:
        """What follows the prefix: many tokenizers drop the blank before a text's first word, so both are decoded.

        Without a prefix it is the whole response, with what the prompt says of it already.
        """
        prefix = encode_prefix(request, self.tokenizer)
        before, both = decode([prefix, [*prefix, *response]], self.tokenizer)
        text = both[len(before) :]
        return text if request.prefix else whole(request.prompt, text)


def _unanswered(request: Request, decoding: Decoding) -> Sample:
    """What a continuation knows before there is a response."""
    return Sample(
        request.prompt,
        "",
        id=request.id,
        metadata=request.metadata,
        max_tokens=decoding.max_new_tokens,
    )


def _seeds(requests: Sequence[Request], seed: int, block: int) -> list[int]:
    """A seed for each request of a block: its own, or that of its place."""
    places = row_seeds(seed, "sample", block, len(requests))
    return [
        place if request.seed is None else request.seed
        for request, place in zip(requests, places, strict=True)
    ]
