"""Decoding for evaluation, with a model of the embedded engine."""

from collections.abc import Container, Iterator, Sequence

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from rlsp_cli.engine.decode import generate
from rlsp_cli.engine.ending import end_ids
from rlsp_cli.engine.model import autocast, refuse_overflow
from rlsp_cli.engine.prompt import decode, encode_prefix, encode_request
from rlsp_cli.engine.seed import generator
from rlsp_cli.engine.trial import handling_of
from rlsp_cli.evals.samplers import Decoding, Request, Response
from rlsp_cli.rewards.thinking import whole


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
        """Batch by batch, the longest prompts first: a batch is padded to its longest, and too long ones show early.

        A batch that lacks one response is decoded whole: its random numbers are drawn together.
        """
        prompts = [encode_request(request, self.tokenizer) for request in requests]
        order = sorted(range(len(requests)), key=lambda row: -len(prompts[row]))
        for start in range(0, len(order), self.batch):
            rows = order[start : start + self.batch]
            if any(row not in done for row in rows):
                responses = self._decode(
                    [requests[row] for row in rows], [prompts[row] for row in rows], decoding, start
                )
                yield from (
                    pair for pair in zip(rows, responses, strict=True) if pair[0] not in done
                )

    def _decode(
        self,
        requests: Sequence[Request],
        prompts: Sequence[Sequence[int]],
        decoding: Decoding,
        start: int,
    ) -> list[Response]:
        refuse_overflow(self.model, prompts, decoding.max_new_tokens)
        with autocast(self.model.device, self.precision):
            generated = generate(
                self.model,
                prompts,
                max_new_tokens=decoding.max_new_tokens,
                temperature=decoding.temperature,
                top_p=decoding.top_p,
                eos_ids=end_ids(self.model, self.tokenizer),
                pad_id=self.tokenizer.pad_token_id,
                random=generator(self.model.device, decoding.seed, "sample", start),
                logprobs=decoding.logprobs,
            )
        texts = self._texts(requests, [g.tokens for g in generated])
        return [
            Response(
                text,
                len(g.tokens),
                g.truncated,
                {} if g.logprob is None else {"logprob": g.logprob},
            )
            for text, g in zip(texts, generated, strict=True)
        ]

    def _texts(self, requests: Sequence[Request], responses: Sequence[Sequence[int]]) -> list[str]:
        """What follows each prefix: many tokenizers drop the blank before a text's first word, so both are decoded.

        Without a prefix it is the whole response, with what the prompt says of it already.
        """
        prefixes = [encode_prefix(request, self.tokenizer) for request in requests]
        before = decode(prefixes, self.tokenizer)
        both = decode(
            [[*prefix, *tokens] for prefix, tokens in zip(prefixes, responses, strict=True)],
            self.tokenizer,
        )
        texts = [text[len(start) :] for start, text in zip(before, both, strict=True)]
        return [
            text if request.prefix else whole(request.prompt, text)
            for request, text in zip(requests, texts, strict=True)
        ]
