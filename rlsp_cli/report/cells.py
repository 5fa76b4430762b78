"""Numbers as the cells of tables: shares in percent, intervals, differences in points; `-` for what is not known."""

from rlsp_cli.evals.statistics import FEWEST, Difference, Estimate

NOTHING = "-"
_SMALLEST_P = 0.0001


def percent_cell(share: float | None) -> str:
    """`41.2`."""
    return NOTHING if share is None else f"{100 * share:.1f}"


def number_cell(value: float | None, digits: int = 0) -> str:
    """With so many digits after the point."""
    return NOTHING if value is None else f"{value:.{digits}f}"


def share_cell(estimate: Estimate | None) -> str:
    """`41.2 (37.0 to 45.6)`, in percent."""
    if estimate is None:
        return NOTHING
    return f"{percent_cell(estimate.value)} ({percent_cell(estimate.low)} to {percent_cell(estimate.high)})"


def points_cell(difference: float, low: float, high: float) -> str:
    """`+4.2 (-1.0 to +9.6)`, in points of percent."""
    return f"{100 * difference:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"


def difference_cell(difference: Difference) -> str:
    """The difference in points."""
    return points_cell(difference.difference, difference.low, difference.high)


def p_cell(p: float) -> str:
    """With four decimals."""
    return f"{p:.4f}" if p >= _SMALLEST_P else f"< {_SMALLEST_P}"


def verdict_cell(difference: Difference) -> str:
    """The verdict, and why there can be no other if hardly any problem differs."""
    if difference.differ >= FEWEST:
        return difference.verdict
    return f"{difference.verdict}: only {difference.differ} problems differ, no test can tell"
