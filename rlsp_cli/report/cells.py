"""Numbers as cells of tables: shares in percent, differences in points; `-` for unknown."""

from rlsp_cli.evals.statistics import FEWEST, Difference, Estimate

NOTHING = "-"
_SMALLEST_P = 0.0001
"""Smaller p-values are shown as less than this."""


def percent_cell(share: float | None) -> str:
    """`41.2`."""
    return NOTHING if share is None else f"{100 * share:.1f}"


def number_cell(value: float | None, digits: int = 0) -> str:
    """`12.3`, with so many digits after the point."""
    return NOTHING if value is None else f"{value:.{digits}f}"


def share_cell(estimate: Estimate | None) -> str:
    """`41.2 (37.0 to 45.6)`, in percent."""
    if estimate is None:
        return NOTHING

    low, high = percent_cell(estimate.low), percent_cell(estimate.high)
    return f"{percent_cell(estimate.value)} ({low} to {high})"


def problems_cell(problems: int, clusters: int | None) -> str:
    """`30`, or `30 of 10 rows` if a row function made several problems of a row."""
    return str(problems) if clusters is None else f"{problems} of {clusters} rows"


def points_cell(difference: float, low: float, high: float) -> str:
    """`+4.2 (-1.0 to +9.6)`, in points of percent."""
    return f"{100 * difference:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"


def difference_cell(difference: Difference) -> str:
    """A difference with its interval, in points."""
    return points_cell(difference.difference, difference.low, difference.high)


def p_cell(p: float) -> str:
    """`0.0312`, or `< 0.0001`."""
    return f"{p:.4f}" if p >= _SMALLEST_P else f"< {_SMALLEST_P}"


def verdict_cell(difference: Difference) -> str:
    """The verdict, with a reason if too few problems differ for any test."""
    # With so few problems that differ, even all of them on one side are not significant.
    if difference.differ >= FEWEST:
        return difference.verdict
    units = "problems" if difference.clusters is None else "rows"
    return f"{difference.verdict}: only {difference.differ} {units} differ, no test can tell"
