"""Pays for knowing how sure to be."""

import re

from rlsp_cli.rewards import Sample, exploration_reward, is_right

_STATED = re.compile(r"confidence\W{0,20}?(\d+(?:\.\d+)?)\s*(%|/\s*(\d+))?", re.IGNORECASE)


@exploration_reward
def confidence_brier(sample: Sample, *, out_of: float = 10.0, missing: float = -1.0) -> float | None:
    """1 - (p - correct)^2 with p the last stated confidence; `missing` when there is none (after ReFIne).

    `confidence: 8` means 8 / `out_of`; `80%` and `8/10` mean what they say. Abstains when the verifier gave no value.
    """
    if sample.correct is None:
        return None
    stated = _STATED.findall(sample.response)
    if not stated:
        return missing
    number, unit, whole = stated[-1]
    scale = 100.0 if unit == "%" else float(whole) if whole else out_of
    p = float(number) / scale if scale else 2.0
    return 1 - (p - is_right(sample.correct)) ** 2 if 0 <= p <= 1 else missing
