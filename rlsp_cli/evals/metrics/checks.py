"""Verifiers that check several things of a response, such as IFEval's instructions."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rlsp_cli.evals.answer import Scored
from rlsp_cli.evals.statistics import Estimate, mean_share


@dataclass(frozen=True)
class CheckLevels:
    """IFEval's two levels (2311.07911): responses that pass every check, and checks passed."""

    prompt: Estimate
    instruction: Estimate


def check_levels(rows: Iterable[Scored]) -> dict[str, CheckLevels]:
    """By rule, such as `strict`, with intervals over problems; empty for a verifier without."""
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

    That is a ratio of two sums R = P / N. Its interval is by linearisation (delta method): the
    problem with p of n checks passed contributes R + (p - R n) / mean(n).
    """
    passed = [sum(map(sum, responses)) for responses in problems]
    asked = [sum(map(len, responses)) for responses in problems]
    share, mean = sum(passed) / sum(asked), sum(asked) / len(asked)

    linear = mean_share(
        [share + (p - share * n) / mean for p, n in zip(passed, asked, strict=True)]
    )
    return Estimate(share, max(0.0, linear.low), min(1.0, linear.high))
