"""An implicit process reward: how much likelier a tuned model writes a step than its base does."""

import math
from collections.abc import Sequence
from itertools import accumulate, pairwise

from rlsp_cli.rewards import ModelName, Sample, served_model, step_scorer
from rlsp_cli.rewards.steps import step_pieces


@step_scorer
def implicit_prm(
    sample: Sample,
    steps: Sequence[str],
    *,
    model: ModelName = "tuned",
    base: ModelName = "base",
    beta: float = 0.005,
) -> list[float | None]:
    """The log-ratio of two models over a step, squashed to 0 to 1 (arXiv 2412.01981).

    q_k is `beta` times the sum over all tokens up to step k of log(model / base); the paper's
    reward of a step is r_k = q_k - q_(k-1), and its score here 1 / (1 + exp(-r_k)). The squashing
    is ours: it keeps the order of steps, and so what `min`, `max` and `last` choose. Both models
    need one tokenizer. The authors' code takes a `beta` of 0.001 for best-of-n and 0.005 to find
    wrong steps.
    """
    tuned, reference = served_model(model), served_model(base)
    texts = step_pieces(sample.response, steps)
    parts = [tuned.tokenize_prompt(sample.prompt), *(tuned.tokenize(text) for text in texts)]
    same = [
        reference.tokenize_prompt(sample.prompt),
        *(reference.tokenize(text) for text in texts),
    ]
    if parts != same:
        raise ValueError(f"models {model!r} and {base!r} have different tokenizers")

    tokens = [token for part in parts for token in part]
    pairs = zip(tuned.logprobs(tokens), reference.logprobs(tokens), strict=True)
    ratios = [beta * (ours - theirs) for ours, theirs in pairs]

    ends = list(accumulate(map(len, parts)))
    rewards = [math.fsum(ratios[a:b]) for a, b in pairwise(ends)]
    return [_logistic(reward) for reward in rewards]


def _logistic(value: float) -> float:
    # Of a large negative value math.exp would overflow.
    return 1 / (1 + math.exp(-value)) if value > 0 else 1 - 1 / (1 + math.exp(value))
