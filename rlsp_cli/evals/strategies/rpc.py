"""Reasoning-pruning perplexity consistency (2502.00511)."""

import statistics
from collections.abc import Sequence

from rlsp_cli.evals.strategies.strategy import (
    Candidate,
    Responses,
    Strategy,
    chance_of_vote,
    no_answers,
)
from rlsp_cli.evals.strategies.weibull import fit_mixture

_PARAMETERS = 5
"""Of the mixture of two Weibull distributions: fewer different likelihoods cannot determine it."""
_HALF = 0.5
"""A response belongs to the component that it comes from with more than this chance."""


class Rpc(Strategy):
    """A vote with the weights of `rpc_weights`."""

    name = "rpc"
    reads_logprobs = True

    def unusable(self, responses: Responses) -> str | None:
        """If a response has no log-probability or number of tokens, or there are no answers."""
        if any(candidate.likelihood is None for candidate in responses.all):
            needs = "a log-probability and a number of tokens (scores.logprob, num_tokens)"
            return f"not every response has {needs}"
        return no_answers(responses)

    def chance(self, candidates: Sequence[Candidate]) -> float:
        """The vote."""
        return chance_of_vote(candidates, rpc_weights(candidates))


def rpc_weights(candidates: Sequence[Candidate]) -> list[float]:
    """The likelihood of each response; 0 for a pruned one, and for a repetition of an earlier one.

    Perplexity consistency: an answer's confidence is the sum of the likelihoods of the different
    responses that give it. Reasoning pruning: a mixture of two Weibull distributions is fitted to
    all likelihoods of the problem, and a response is dropped if it belongs to the lower component
    and is below the mean. Likelihood per token, the fit over all responses, and that mean (their
    "truncated mean") are as in the code that the authors published.
    """
    values = [candidate.likelihood or 0.0 for candidate in candidates]

    # The Weibull distribution has no 0; a likelihood that underflows to it has no weight anyway.
    positive = [value for value in values if value > 0]
    fit = fit_mixture(positive) if len(set(positive)) >= _PARAMETERS else None
    mean = statistics.fmean(values)

    seen: set[str] = set()
    weights = []
    for candidate, value in zip(candidates, values, strict=True):
        pruned = fit is not None and 0 < value < mean and fit.high_share(value) < _HALF

        # The paper sums over different reasoning paths: a text that is drawn twice counts once.
        weights.append(0.0 if pruned or candidate.text in seen else value)
        seen.add(candidate.text)
    return weights
