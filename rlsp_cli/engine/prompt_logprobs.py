"""The log-probabilities of tokens that are given, and not drawn."""

from collections.abc import Sequence

import torch
from transformers import PreTrainedModel

from rlsp_cli.engine.batch import pad
from rlsp_cli.engine.logprobs import last_states, token_logp


@torch.no_grad()
def prompt_logprobs(
    model: PreTrainedModel, sequences: Sequence[Sequence[int]], pad_id: int
) -> list[list[float]]:
    """For each sequence, the log-probability in nats of each token after the first.

    At temperature 1. `refuse_leaks` says whether a model can be relied on here.
    """
    tokens = pad(sequences, pad_id, model.device)
    if tokens.shape[1] < 2:
        return [[] for _ in sequences]

    mask = tokens.new_zeros(len(sequences), tokens.shape[1] - 1)
    for row, sequence in enumerate(sequences):
        mask[row, : len(sequence) - 1] = 1
    logp = token_logp(model, last_states(model, tokens), tokens, mask)[..., 0].tolist()
    return [row[: len(sequence) - 1] for row, sequence in zip(logp, sequences, strict=True)]
