"""Decoding for evaluation, with a model of the embedded engine."""

from collections.abc import Sequence

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from rlsp_cli.engine.decode import generate
from rlsp_cli.engine.model import autocast, end_ids, refuse_overflow
from rlsp_cli.engine.prompt import encode_prompt
from rlsp_cli.evals.sampler import Request, Response


class LocalSampler:
    """A `rlsp_cli.evals.sampler.Sampler` that runs a model in this process."""

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, precision: str) -> None:
        self.model, self.tokenizer, self.precision = model.eval(), tokenizer, precision

    def sample(
        self,
        requests: Sequence[Request],
        n: int,
        *,
        temperature: float,
        top_p: float,
        max_new_tokens: int,
        seed: int,
    ) -> list[list[Response]]:
        """`n` responses to each request, in order; temperature 0 is greedy."""
        prompts = [encode_prompt(request.prompt, self.tokenizer) for request in requests for _ in range(n)]
        refuse_overflow(self.model, prompts, max_new_tokens)
        with autocast(self.model.device, self.precision):
            generated = generate(
                self.model,
                prompts,
                max_new_tokens=max_new_tokens,
                temperature=temperature,
                top_p=top_p,
                eos_ids=end_ids(self.model, self.tokenizer),
                pad_id=self.tokenizer.pad_token_id,
                random=torch.Generator(device=self.model.device).manual_seed(seed),
            )
        texts = self.tokenizer.batch_decode([g.tokens for g in generated], skip_special_tokens=True)
        flat = [Response(text, len(g.tokens), g.truncated) for text, g in zip(texts, generated, strict=True)]
        return [flat[i * n : (i + 1) * n] for i in range(len(requests))]
