"""Masked Thought (2403.02178): a share of a response's input tokens is hidden, and the labels stay.

Share, ramp and mask token are those of the authors' code (ChangyuChen347/MaskedThought, 9a467af).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from rlsp_cli.engine.examples import Example
from rlsp_cli.engine.seed import generator

_NEW_WORD = "<mask>"
"""Added to a tokenizer that has no mask token."""
_RAMP = 2 / 3
"""Part of the steps over which the share rises from 0."""


@dataclass(frozen=True)
class InputMask:
    """Puts `token` in the place of a share of the tokens that a response gives as input."""

    share: float
    total_steps: int
    token: int
    seed: int

    def share_at(self, step: int) -> float:
        """The share in this step: it rises linearly from 0 over the first two thirds of the steps."""
        rising = self.share * step / (self.total_steps * _RAMP + 1)
        return min(rising, self.share)

    def over(self, examples: Sequence[Example], step: int) -> list[Example]:
        """The examples of a step with masked inputs; each response token is masked independently."""
        share = self.share_at(step)
        random = generator(torch.device("cpu"), self.seed, "input mask", step)

        masked = []
        for example in examples:
            hidden = torch.rand(len(example.tokens), generator=random) < share
            hidden[: example.start] = False

            inputs = torch.tensor(example.tokens).masked_fill(hidden, self.token)
            masked.append(replace(example, inputs=inputs.tolist()))
        return masked


def mask_token(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> int:
    """The id of the mask token, which is added to tokenizer and model if there is none.

    The rows of a new token are the means of all others, in the embedding and in the head.
    """
    if tokenizer.mask_token_id is not None:
        return int(tokenizer.mask_token_id)

    if tokenizer.add_tokens([_NEW_WORD], special_tokens=True):
        _add_row(model, len(tokenizer))
    return int(tokenizer.convert_tokens_to_ids(_NEW_WORD))


@torch.no_grad()
def _add_row(model: PreTrainedModel, tokens: int) -> None:
    # Some models have rows to spare; a smaller matrix would lose them.
    rows = max(tokens, model.get_input_embeddings().num_embeddings)
    model.resize_token_embeddings(rows, mean_resizing=False)

    for layer in (model.get_input_embeddings(), model.get_output_embeddings()):
        layer.weight[tokens - 1] = layer.weight[: tokens - 1].mean(0)
