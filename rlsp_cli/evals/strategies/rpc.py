"""Reasoning-pruning perplexity consistency (2502.00511)."""

import statistics
from collections.abc import Sequence

from rlsp_cli.evals.strategies.strategy import Candidate, Responses, chance_of_vote, no_answers
from rlsp_cli.evals.strategies.weibull import fit_mixture

_PARAMETERS = 5
"""Of the mixture of two Weibull distributions; fewer different likelihoods than these cannot determine it."""


class Rpc:
    """A vote with the weights of `rpc_weights`."""

    name = "rpc"
    reads_logprobs = True

    def unusable(self, responses: Responses) -> str | None:
        """Without the log-probability and the number of tokens of each response, or without answers."""
        if any(candidate.likelihood is None for candidate in responses.all):
            return "not every response has a log-probability and a number of tokens (scores.logprob, num_tokens)"
        return no_answers(responses)

    def chance(self, candidates: Sequence[Candidate]) -> float:
        """The vote."""
        return chance_of_vote(candidates, rpc_weights(candidates))


def rpc_weights(candidates: Sequence[Candidate]) -> list[float]:
    """The likelihood of each response; 0 for a pruned one, and for a repetition of an earlier one.

    Perplexity consistency: an answer's confidence is the sum of the likelihoods of the different
        responses that give
    it. Reasoning pruning: a mixture of two Weibull distributions is fitted to all likelihoods of
    the problem, and a response is dropped when it is more likely of the lower component and below
    the mean. Likelihood per token, counting all responses in the fit, and that mean (their
    "truncated mean") are as in the code that the authors published.
    """
    values = [candidate.likelihood or 0.0 for candidate in candidates]
    positive = [value for value in values if value > 0]
    fit = fit_mixture(positive) if len(set(positive)) >= _PARAMETERS else None
    mean = statistics.fmean(values)

    seen: set[str] = set()
    weights = []
    for candidate, value in zip(candidates, values, strict=True):
        pruned = fit is not None and 0 < value < mean and fit.high_share(value) < 0.5
        weights.append(0.0 if pruned or candidate.text in seen else value)
        seen.add(candidate.text)
    return weights
