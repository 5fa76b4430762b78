"""Reward a stated confidence that fits the result."""

from rlsp_cli.rewards import Sample, exploration_reward, is_right, stated_confidence


@exploration_reward
def confidence_brier(
    sample: Sample, *, out_of: float = 10.0, missing: float = -1.0
) -> float | None:
    """Calibrated confidence: 1 - (stated - correct)^2, or `missing` where none is stated.

    The last statement counts: `confidence: 8` means 8 / `out_of`; `80%` and `8/10` mean what they
    say. Abstains when the verifier gave no value. After ReFIne.
    """
    if sample.correct is None:
        return None

    p = stated_confidence(sample.response, out_of)
    return missing if p is None else 1 - (p - is_right(sample.correct)) ** 2
