"""Verifiers that check several things of a response, such as IFEval's instructions: how many of them hold."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rlsp_cli.evals.answer import Scored
from rlsp_cli.evals.statistics import Estimate, mean_share


@dataclass(frozen=True)
class CheckLevels:
    """IFEval's two levels: the share of responses that pass all their checks, and the share of checks passed."""

    prompt: Estimate
    instruction: Estimate


def check_levels(rows: Iterable[Scored]) -> dict[str, CheckLevels]:
    """By rule, such as `strict`; empty if the verifier checks no single things. Intervals are over problems."""
    rules: dict[str, dict[str, list[Sequence[bool]]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        for rule, passed in (row.correctness.checks or {}).items():
            rules[rule][row.id].append(passed)

    levels = {}
    for rule, by_problem in rules.items():
        problems = list(by_problem.values())
        levels[rule] = CheckLevels(prompt=_all(problems), instruction=_each(problems))
    return levels


def _all(problems: Sequence[Sequence[Sequence[bool]]]) -> Estimate:
    """Mean over problems of the share of their responses that pass every check."""
    return mean_share([sum(map(all, responses)) / len(responses) for responses in problems])


def _each(problems: Sequence[Sequence[Sequence[bool]]]) -> Estimate:
    """Share of all checks that are passed: a problem with more of them weighs more.

    The interval is that of the ratio of two sums, made linear: each problem's share moves the ratio
        by its own checks.
    """
    passed = [sum(map(sum, responses)) for responses in problems]
    asked = [sum(map(len, responses)) for responses in problems]
    share, mean = sum(passed) / sum(asked), sum(asked) / len(asked)
    moved = mean_share([share + (p - share * n) / mean for p, n in zip(passed, asked, strict=True)])
    return Estimate(share, max(0.0, moved.low), min(1.0, moved.high))
