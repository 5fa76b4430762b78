"""Reward responses that turn a wrong beginning into a right end."""

from rlsp_cli.rewards import Sample, exploration_reward, is_right

_ORIGINS = ("right", "wrong")


@exploration_reward
def reflection_bonus(sample: Sample, *, bonus: float = 0.5, origin: str = "origin") -> float | None:
    """`bonus` for a wrong beginning that ends right, -`bonus` for a right one that ends wrong.

    The column `origin` says what the beginning was cut from: `right` or `wrong`, a response of that
    verdict. Without one the response began anew, and earns 0. Abstains when the verifier gave no
    value. The bonus of Satori (2502.02508) with the strength of its released code; the correctness
    and the outcome reward model that the paper adds are components of their own here.
    """
    began = sample.metadata.get(origin)
    if began is not None and began not in _ORIGINS:
        expected = " or ".join(_ORIGINS)
        raise ValueError(f"column {origin!r} holds {began!r}, expected {expected}, or nothing")

    if sample.correct is None:
        return None
    if began is None or is_right(sample.correct) == (began == "right"):
        return 0.0
    return bonus if began == "wrong" else -bonus
