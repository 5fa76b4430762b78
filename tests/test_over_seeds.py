"""Differences over seeds and problems: the interval counts both, and says how many seeds would do."""

from collections.abc import Mapping
from math import hypot

import numpy as np
import pytest
from scipy.stats import norm, t

from rlsp_cli.evals.statistics import SeedsDifference, difference_over_seeds
from rlsp_cli.evals.statistics.over_seeds import Spread, seeds_needed
from rlsp_cli.evals.statistics.student import t_quantile


def of_table(table: np.ndarray, clusters: Mapping[str, str] | None = None) -> SeedsDifference:
    """What a table of differences, seeds x problems, comes to."""
    pairs = [
        ({f"p{i}": 0.0 for i in range(len(row))}, {f"p{i}": float(x) for i, x in enumerate(row)})
        for row in table
    ]
    found = difference_over_seeds(pairs, clusters or {})
    assert found is not None
    return found


def drawn(rng: np.random.Generator, seeds: int, problems: int, true: float) -> np.ndarray:
    """Differences with effects of seeds and of problems, and noise."""
    of_seeds, of_problems = rng.normal(0, 0.05, (seeds, 1)), rng.normal(0, 0.15, (1, problems))
    return true + of_seeds + of_problems + rng.normal(0, 0.4, (seeds, problems))


def test_the_interval_has_students_t_over_seeds_and_the_standard_error_over_problems() -> None:
    table = drawn(np.random.default_rng(0), 5, 60, 0.1)
    found = of_table(table)

    over_seeds = t.ppf(0.975, 4) * table.mean(1).std(ddof=1) / 5**0.5
    over_problems = norm.ppf(0.975) * table.mean(0).std(ddof=1) / 60**0.5
    half = hypot(over_seeds, over_problems)
    expected = (table.mean(), table.mean() - half, table.mean() + half)
    assert (found.difference, found.low, found.high) == pytest.approx(expected)
    assert (found.seeds, found.problems) == (5, 60)
    assert t_quantile(0.975, 4) == pytest.approx(t.ppf(0.975, 4))


def test_the_interval_holds_the_true_difference_in_at_least_95_of_100_cases() -> None:
    rng, held = np.random.default_rng(1), 0
    for _ in range(300):
        found = of_table(drawn(rng, 4, 30, 0.1))
        assert found.low is not None and found.high is not None
        held += found.low <= 0.1 <= found.high
    assert 0.95 <= held / 300 < 1


def test_with_as_many_seeds_as_needed_most_comparisons_tell_the_settings_apart() -> None:
    # The variances of `drawn`: a row's mean has the noise of its cells in it, and so has a column's.
    problems, before = 40, 3
    spread = Spread(
        before, problems, 0.05**2 + 0.4**2 / problems, 0.15**2 + 0.4**2 / before, 0.4**2
    )
    needed = seeds_needed(0.1, spread)
    assert needed is not None and 5 < needed < 30

    rng = np.random.default_rng(2)
    told = [of_table(drawn(rng, needed, problems, 0.1)).verdict == "better" for _ in range(150)]
    assert 0.75 <= np.mean(told) <= 0.97
    fewer = [of_table(drawn(rng, needed // 2, problems, 0.1)).verdict for _ in range(150)]
    assert np.mean([verdict == "better" for verdict in fewer]) < 0.7


def test_no_number_of_seeds_helps_where_the_problems_are_too_few_or_nothing_differs() -> None:
    spread = Spread(5, 20, 0.001, 0.2, 0.0)
    assert seeds_needed(0.1, spread) is None and seeds_needed(0.9, spread) == 2
    assert seeds_needed(0.0, Spread(5, 20, 0.0, 0.0, 0.0)) is None


def test_an_interval_of_equal_differences_allows_for_another_problem() -> None:
    none, all_ = of_table(np.zeros((3, 40))), of_table(np.ones((3, 40)))
    assert none.high is not None and 0.05 < none.high < 0.2 and none.low == -none.high
    assert none.verdict == "cannot be told apart" and none.seeds_needed is None
    assert all_.low is not None and 0.8 < all_.low < 0.95 and all_.verdict == "better"


def test_one_seed_has_no_interval_and_no_verdict() -> None:
    found = of_table(np.array([[0.5, 0.25]]))
    assert found.difference == 0.375
    assert (found.low, found.verdict, found.seeds_needed) == (None, None, None)


def test_a_problem_that_one_side_lacks_in_one_seed_is_left_out() -> None:
    pairs = [({"a": 0.0, "b": 0.0, "c": 1.0}, {"a": 1.0, "b": 1.0, "c": 0.0})] * 2
    pairs.append(({"a": 0.0, "b": 0.0}, {"a": 1.0, "b": 0.0, "c": 0.0}))
    found = difference_over_seeds(pairs, {})
    assert found is not None and found.problems == 2
    assert found.difference == pytest.approx(5 / 6)
    assert difference_over_seeds([({"a": 1.0}, {"b": 1.0})], {}) is None


def test_problems_of_one_row_count_as_one() -> None:
    table = np.array([[0.0, 1.0, 1.0], [0.0, 1.0, 0.5]])
    found, alone = of_table(table, {"p1": "row", "p2": "row"}), of_table(table)
    assert found.difference == pytest.approx((0.5 + 0.375) / 2)
    assert found.problems == 3 and alone.difference == pytest.approx(table.mean())
