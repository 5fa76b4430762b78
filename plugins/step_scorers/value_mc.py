"""The value of a step by trying: how often a model that goes on from there finds the right answer."""

import hashlib
import statistics
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate, pairwise

from rlsp_cli.rewards import ModelName, Sample, is_right, served_model, step_scorer
from rlsp_cli.rewards.judged_by import judged_by
from rlsp_cli.rewards.steps import step_pieces

_SEED_BYTES = 3
"""Servers take seeds of 32 bits, with a sign."""


@step_scorer
def value_mc(
    sample: Sample,
    steps: Sequence[str],
    *,
    model: ModelName = "prover",
    completions: int = 8,
    max_tokens: int = 512,
    temperature: float = 1.0,
    verifier: str = "math_verify",
    progress: bool = False,
) -> list[float | None]:
    """The share of right ones among completions from each step on (Math-Shepherd, 2312.08935).

    `model` writes them and `verifier`, with its defaults, judges the whole by the sample's
    reference; without one every step abstains. With `progress` it is what a step adds: its value
    minus that of the step before, or of the prompt (PAV, 2410.08146), moved from -1..1 to 0..1 as
    (1 + a) / 2, which is ours.
    """
    if sample.reference is None:
        return [None] * len(steps)

    prover = served_model(model)
    prompt = prover.tokenize_prompt(sample.prompt)

    def value(prefix: str) -> float | None:
        drawn = prover.complete(
            [*prompt, *prover.tokenize(prefix)],
            count=completions,
            max_tokens=max_tokens,
            temperature=temperature,
            seed=_seed(sample, prefix),
        )
        wholes = [replace(sample, response=prefix + one.text) for one in drawn]
        verdicts = [judged_by(verifier, whole) for whole in wholes]
        known = [is_right(verdict) for verdict in verdicts if verdict is not None]
        return statistics.fmean(known) if known else None

    prefixes = list(accumulate(step_pieces(sample.response, steps)))
    if not progress:
        return [value(prefix) for prefix in prefixes]
    values = [value(prefix) for prefix in ["", *prefixes]]
    return [_gain(before, after) for before, after in pairwise(values)]


def _gain(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else (1 + after - before) / 2


def _seed(sample: Sample, prefix: str) -> int:
    """Of what is continued, so that a step's score does not depend on the steps after it."""
    text = f"{sample.id}\0{sample.prompt}\0{prefix}".encode(errors="replace")
    return int.from_bytes(hashlib.sha256(text).digest()[:_SEED_BYTES], "big")
