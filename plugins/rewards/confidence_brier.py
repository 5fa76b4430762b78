"""Pays for knowing how sure to be."""

from rlsp_cli.rewards import Sample, exploration_reward, is_right, stated_confidence


@exploration_reward
def confidence_brier(
    sample: Sample, *, out_of: float = 10.0, missing: float = -1.0
) -> float | None:
    """1 - (p - correct)^2 with p the last stated confidence; `missing` when there is none (after ReFIne).

    `confidence: 8` means 8 / `out_of`; `80%` and `8/10` mean what they say. Abstains when the
    verifier gave no value.
    """
    if sample.correct is None:
        return None
    p = stated_confidence(sample.response, out_of)
    return missing if p is None else 1 - (p - is_right(sample.correct)) ** 2
