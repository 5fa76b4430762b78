"""Scores of responses by what is known without the reference: log-probability, stated confidence, or a scorer's."""

import math
from collections.abc import Sequence

from rlsp_cli.evals.metrics.vote import Row
from rlsp_cli.rewards.answers import stated_confidence

LOGPROB, CONFIDENCE = "logprob", "confidence"


def likelihood(row: Row) -> float | None:
    """The geometric mean of the probabilities of a response's tokens, 1 / perplexity; None where it is not known."""
    total, tokens = (row.get("scores") or {}).get(LOGPROB), row["num_tokens"]
    return math.exp(total / tokens) if total is not None and tokens else None


def score_of(row: Row, scorer: str | None) -> float | None:
    """A response's score by `logprob` (its likelihood), `confidence` (as it states it) or a name in its `scores`."""
    if scorer == LOGPROB:
        return likelihood(row)
    return stated_confidence(row["response"]) if scorer == CONFIDENCE else (row.get("scores") or {}).get(scorer)


def usual_scorer(rows: Sequence[Row]) -> str | None:
    """`logprob` where every response has it, else `confidence` where any states one, else None."""
    if rows and all(likelihood(row) is not None for row in rows):
        return LOGPROB
    return CONFIDENCE if any(score_of(row, CONFIDENCE) is not None for row in rows) else None
