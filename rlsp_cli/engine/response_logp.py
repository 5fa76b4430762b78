"""Log-probabilities of the tokens of given responses."""

from collections.abc import Sequence

import torch

from rlsp_cli.engine.batch import pad
from rlsp_cli.engine.examples import Example
from rlsp_cli.engine.logprobs import last_states, token_logp
from rlsp_cli.engine.precision import autocast
from rlsp_cli.engine.stage import Context


def response_logp(context: Context, examples: Sequence[Example]) -> torch.Tensor:
    """(N, T) log-probability of each response token under the context's model, in nats.

    0 at the tokens of prompts and at padding.
    """
    padding, device = context.tokenizer.pad_token_id, context.device
    tokens = pad([example.tokens for example in examples], padding, device)
    inputs = pad([example.inputs or example.tokens for example in examples], padding, device)

    mask = torch.zeros(len(examples), tokens.shape[1] - 1, device=device)
    for row, example in enumerate(examples):
        mask[row, max(example.start - 1, 0) : len(example.tokens) - 1] = 1

    with autocast(context.model, context.recipe.model.precision):
        states = last_states(context.model, inputs)
        return token_logp(context.model, states, tokens, mask)[..., 0]
