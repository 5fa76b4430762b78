"""Verifiers that check several things of a response, such as IFEval's instructions: how many of them hold."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rlsp_cli.evals.statistics import Interval, mean_share

Row = Mapping[str, Any]


def check_levels(rows: Iterable[Row]) -> dict[str, dict[str, dict[str, float]]]:
    """For each rule, the share of responses that pass all its checks (`prompt`), and of checks passed (`instruction`).

    These are IFEval's two levels. Problems are the unit of the intervals; where responses have no checks it is empty.
    """
    rules: dict[str, dict[str, list[Sequence[bool]]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        for rule, passed in (row["correctness"].get("checks") or {}).items():
            rules[rule][row["id"]].append(passed)
    return {
        rule: {"prompt": _all(list(found.values()))._asdict(), "instruction": _each(list(found.values()))._asdict()}
        for rule, found in rules.items()
    }


def _all(problems: Sequence[Sequence[Sequence[bool]]]) -> Interval:
    """Mean over problems of the share of their responses that pass every check."""
    return mean_share([sum(map(all, responses)) / len(responses) for responses in problems])


def _each(problems: Sequence[Sequence[Sequence[bool]]]) -> Interval:
    """Share of all checks that are passed: a problem with more of them weighs more.

    The interval is that of the ratio of two sums, made linear: each problem's share moves the ratio by its own checks.
    """
    passed = [sum(map(sum, responses)) for responses in problems]
    asked = [sum(map(len, responses)) for responses in problems]
    share, mean = sum(passed) / sum(asked), sum(asked) / len(asked)
    moved = mean_share([share + (p - share * n) / mean for p, n in zip(passed, asked, strict=True)])
    return Interval(share, max(0.0, moved.low), min(1.0, moved.high))
