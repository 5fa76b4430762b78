"""Decoding for evaluation, with a model of the embedded engine."""

import math
from collections.abc import Container, Iterator, Sequence

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from rlsp_cli.engine.decode import Generated, Sampling, generate
from rlsp_cli.engine.draw import row_seeds
from rlsp_cli.engine.ending import end_ids
from rlsp_cli.engine.model import refuse_overflow
from rlsp_cli.engine.precision import autocast
from rlsp_cli.engine.prompt import decode, encode_prefix, encode_request
from rlsp_cli.engine.stop_text import stops_at
from rlsp_cli.engine.trial import handling_of
from rlsp_cli.evals.samplers import Decoding, Request, Response
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
    ) -> None:
        self.model, self.tokenizer, self.precision, self.batch = (
            model.eval(),
            tokenizer,
            precision,
            batch,
        )
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
            texts = [prompts[row] for row in rows]
            seeds = _seeds([requests[row] for row in rows], decoding.seed, block)
            for place, generated in self._decode(texts, decoding, seeds):
                row = rows[place]
                if row not in done:
                    yield row, self._response(requests[row], generated, bool(decoding.stop))

    def _decode(
        self, prompts: Sequence[Sequence[int]], decoding: Decoding, seeds: Sequence[int]
    ) -> Iterator[tuple[int, Generated]]:
        refuse_overflow(self.model, prompts, decoding.max_new_tokens)
        sampling = Sampling(
            decoding.max_new_tokens,
            decoding.temperature,
            decoding.top_p,
            record=1.0 if decoding.logprobs else None,
            stops=stops_at(decoding.stop, self.tokenizer),
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
            )

    def _response(self, request: Request, generated: Generated, goes_on: bool) -> Response:
        scores = {"logprob": math.fsum(generated.logp)} if generated.logp else {}
        text = self._text(request, generated.tokens)
        return Response(
            text,
            len(generated.tokens),
            generated.truncated,
            scores,
            generated.stopped,
            tuple(generated.tokens) if goes_on else (),
        )

    def _text(self, request: Request, response: Sequence[int]) -> str:
        """What follows the prefix: many tokenizers drop the blank before a text's first word, so both are decoded.

        Without a prefix it is the whole response, with what the prompt says of it already.
        """
        prefix = encode_prefix(request, self.tokenizer)
        before, both = decode([prefix, [*prefix, *response]], self.tokenizer)
        text = both[len(before) :]
        return text if request.prefix else whole(request.prompt, text)


def _seeds(requests: Sequence[Request], seed: int, block: int) -> list[int]:
    """A seed for each request of a block: its own, or that of its place."""
    places = row_seeds(seed, "sample", block, len(requests))
    return [
        place if request.seed is None else request.seed
        for request, place in zip(requests, places, strict=True)
    ]
