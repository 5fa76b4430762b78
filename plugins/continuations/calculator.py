"""A calculator: the value of the expression with which the model ends its turn."""

from rlsp_cli.rewards import Sample, continuation
from rlsp_cli.rewards.arithmetic import calculated


@continuation
def calculator(
    sample: Sample,
    *,
    opening: str = "<calc>",
    closing: str = "</calc>",
    result: str = "<result>{}</result>",
    error: str = "error",
    digits: int = 10,
    apart: bool = False,
) -> str | None:
    """The value of the expression between `opening` and `closing`, at the end of the model's turn.

    It goes into `result` in place of `{}`: a whole number as it is, any other with at most so many
    `digits` after the point, and with `apart` with spaces between its digits, for models that read
    them one by one. What cannot be computed gives `error`. A turn without an expression at its end
    ends the response.
    """
    assert sample.turns is not None, "a continuation is asked about turns"
    words = sample.turns.said[-1].text.rstrip()
    _, opened, rest = words.rpartition(opening)
    if not opened or not rest.endswith(closing):
        return None

    value = calculated(rest.removesuffix(closing), digits)
    if value is None:
        return result.replace("{}", error)
    return result.replace("{}", " ".join(value) if apart else value)
