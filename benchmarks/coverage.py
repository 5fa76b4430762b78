"""How often the 95% intervals of `rlsp eval` hold the mean over all problems of a kind. Writes docs/coverage.md.

    .venv/bin/python benchmarks/coverage.py > docs/coverage.md

A cell draws problems of a kind and responses to them, 1,000 times, and asks the interval now and
the one until commit
c7719b8: Wilson's where every problem is all right or all wrong, else percentiles of resampled
    problems. The
interval is computed for all draws at once here, and by `rlsp_cli` for some of them, which must
agree.
"""

from collections.abc import Callable, Iterator
from functools import cache
from itertools import product
from typing import NamedTuple
from zlib import crc32

import numpy as np
from scipy import stats
from scipy.optimize import brentq

from rlsp_cli.evals.metrics.summary import pass_at_k
from rlsp_cli.evals.metrics.vote import Ballot, maj_at_k
from rlsp_cli.evals.statistics import mean_share

RUNS = 1000
RESAMPLES = 1000
PROBLEMS = (10, 30, 100, 500)
CHANCES = (0.02, 0.1, 0.5, 0.9)
SAMPLES = (1, 4, 16)
Draw = Callable[[np.random.Generator, float, tuple[int, int]], np.ndarray]
"""Chances of a right response to problems whose mean chance is the given one."""


class Score(NamedTuple):
    """What is computed of a problem's responses: a number for each count of right ones, or the mean of unequal k."""

    name: str
    samples: int
    of_right: np.ndarray | None


def beta(spread: float) -> Draw:
    """Chances by a beta distribution with a + b = spread."""
    return lambda rng, mean, shape: rng.beta(spread * mean, spread * (1 - mean), shape)


def mixture(high: float, low: float) -> Draw:
    """Problems of two chances."""
    return lambda rng, mean, shape: np.where(
        rng.random(shape) < (mean - low) / (high - low), high, low
    )


def hump(rng: np.random.Generator, mean: float, shape: tuple[int, int]) -> np.ndarray:
    """A logit-normal of three standard deviations, shifted to the mean."""
    return 1 / (1 + np.exp(-rng.normal(0, 3, shape) - _shift(mean)))


@cache
def _shift(mean: float) -> float:
    normal = stats.norm.ppf((np.arange(2000) + 0.5) / 2000) * 3
    return float(brentq(lambda shift: (1 / (1 + np.exp(-normal - shift))).mean() - mean, -20, 20))


def three(rng: np.random.Generator, mean: float, shape: tuple[int, int]) -> np.ndarray:
    """A tenth of the problems always right (never, below one half), the others of two chances close together."""
    always, rest = (1.0, (mean - 0.1) / 0.9) if mean >= 0.5 else (0.0, mean / 0.9)
    near = rng.choice([0.9, 1.1], shape) * rest if rest < 0.9 else np.full(shape, rest)
    return np.where(rng.random(shape) < 0.1, always, near)


CHOSEN: dict[str, Draw] = {
    "Beta, a + b = 0.1": beta(0.1),
    "Beta, a + b = 0.3": beta(0.3),
    "Beta, a + b = 1": beta(1),
    "Beta, a + b = 10": beta(10),
    "all alike": lambda rng, mean, shape: np.full(shape, mean),
    "0.9 and 0.01": mixture(0.9, 0.01),
    "0.99 and 0.1": mixture(0.99, 0.1),
    "all right and all wrong": mixture(1.0, 0.0),
}
"""Kinds of difficulty that the interval was chosen on."""
FRESH: dict[str, Draw] = {
    "Beta, a + b = 0.03": beta(0.03),
    "Beta, a + b = 2.5": beta(2.5),
    "logit-normal, sd 3": hump,
    "1 and 0.015": mixture(1.0, 0.015),
    "0.5 and 0": mixture(0.5, 0.0),
    "a tenth apart": three,
}
"""Kinds that were looked at afterwards."""


def avg(samples: int) -> Score:
    """avg@k."""
    return Score(f"avg@{samples}", samples, np.arange(samples + 1) / samples)


def of_sixteen() -> list[Score]:
    """What else is computed of 16 responses; all wrong ones give the same answer, which harms a vote most."""
    right = range(17)
    return [
        Score("pass@4 of 16", 16, np.array([pass_at_k(16, r, 4) for r in right])),
        Score("maj@4 of 16", 16, np.array([maj_at_k(Ballot(r, (16 - r,), 0), 4) for r in right])),
        Score("maj@16", 16, np.array([maj_at_k(Ballot(r, (16 - r,), 0), 16) for r in right])),
        Score("avg@1-16", 16, None),
    ]


def scores(rng: np.random.Generator, chance: np.ndarray, score: Score) -> np.ndarray:
    """One number for each problem of each draw."""
    if score.of_right is not None:
        return score.of_right[rng.binomial(score.samples, chance)]
    samples = rng.integers(1, score.samples + 1, chance.shape)
    return rng.binomial(samples, chance) / samples


def target(rng: np.random.Generator, draw: Draw, mean: float, score: Score) -> float:
    """The mean over all problems of the kind."""
    if score.of_right is None or score.name.startswith("avg"):
        return mean
    return float(scores(rng, draw(rng, mean, (1000, 1000)), score).mean())


def now(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The interval of each row; a few rows are asked of rlsp itself."""
    low, high = 1 - _upper(1 - values), _upper(values)
    for row in (0, len(values) // 2, len(values) - 1):
        ours = mean_share(values[row].tolist())
        assert abs(ours.low - low[row]) + abs(ours.high - high[row]) < 1e-6, (values[row], ours)
    return low, high


def formerly(rng: np.random.Generator, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The interval of each row as it was."""
    problems = values.shape[1]
    resamples = rng.multinomial(problems, [1 / problems] * problems, RESAMPLES) / problems
    means = values.astype(np.float32) @ resamples.T.astype(np.float32)
    cut = RESAMPLES // 40
    ordered = np.partition(means, (cut, RESAMPLES - cut - 1), axis=1)
    low, high = ordered[:, cut].astype(float), ordered[:, -cut - 1].astype(float)

    sure = ((values == 0) | (values == 1)).all(1)
    share, z2 = values.mean(1), 1.959964**2
    centre = (share + z2 / (2 * problems)) / (1 + z2 / problems)
    half = np.sqrt(z2 * (share * (1 - share) / problems + z2 / (4 * problems**2))) / (
        1 + z2 / problems
    )
    return np.where(sure, centre - half, low), np.where(sure, centre + half, high)


def cell(
    rng: np.random.Generator, draw: Draw, mean: float, problems: int, score: Score
) -> list[float]:
    """Coverage now and formerly in percent, and the mean widths of both."""
    values = scores(rng, draw(rng, mean, (RUNS, problems)), score)
    wanted = target(rng, draw, mean, score)
    found = []
    for low, high in (now(values), formerly(rng, values)):
        held = (low <= wanted + 1e-6) & (wanted <= high + 1e-6)
        found.append((100 * held.mean(), (high - low).mean()))
    return [number for pair in zip(*found, strict=True) for number in pair]


def _upper(values: np.ndarray) -> np.ndarray:
    made = np.column_stack([values, np.ones(len(values))])
    mean, variance = made.mean(1), made.var(1) / (made.shape[1] + 1)
    varies = variance > 1e-18
    size = mean * (1 - mean) / np.where(varies, variance, 1) - 1
    with np.errstate(invalid="ignore"):
        limit = stats.beta.ppf(0.975, mean * size, (1 - mean) * size)
    return np.where(varies, limit, 1.0)


def possible(draw: Draw, mean: float) -> bool:
    """Whether the kind can have this mean."""
    chance = draw(np.random.default_rng(0), mean, (500, 1000))
    return bool(abs(chance.mean() - mean) < 0.02 * min(mean, 1 - mean) + 0.002)


def table(kinds: dict[str, Draw], measures: list[Score], lowest: list[float]) -> Iterator[str]:
    """A row for each kind and number of problems; the cells of a mean chance have a number for each measure."""
    yield f"| kind | n | {' | '.join(f'p = {mean}' for mean in CHANCES)} | formerly | width |"
    yield "|---" * (len(CHANCES) + 4) + "|"
    can = {
        (name, mean): possible(draw, mean) for (name, draw), mean in product(kinds.items(), CHANCES)
    }
    for (name, draw), problems in product(kinds.items(), PROBLEMS):
        cells, before, widths = [], [], []
        for mean in CHANCES:
            rng = np.random.default_rng([crc32(name.encode()), problems, round(100 * mean)])
            found = (
                [cell(rng, draw, mean, problems, score) for score in measures]
                if can[name, mean]
                else []
            )
            cells.append(", ".join(f"{one[0]:.1f}" for one in found) or "-")
            before += [one[1] for one in found]
            widths += [one[2] / one[3] for one in found if one[3]]
            lowest += [one[0] for one in found]
        ratio = float(np.median(widths))
        yield f"| {name} | {problems} | {' | '.join(cells)} | {min(before):.1f} to {max(before):.1f} | {ratio:.2f} |"


def page() -> Iterator[str]:
    """The page, line by line."""
    yield from INTRODUCTION.strip().splitlines()
    for title, kinds, measures in (
        ("Kinds that it was chosen on: avg@1, avg@4, avg@16", CHOSEN, [avg(k) for k in SAMPLES]),
        ("Fresh kinds: avg@1, avg@4, avg@16", FRESH, [avg(k) for k in SAMPLES]),
        (
            "Other numbers: pass@4 of 16, maj@4 of 16, maj@16, avg of 1 to 16 responses",
            {**CHOSEN, **FRESH},
            of_sixteen(),
        ),
    ):
        lowest: list[float] = []
        rows = list(table(kinds, measures, lowest))
        yield from ["", f"## {title}", ""]
        yield f"{len(lowest)} cells; lowest {min(lowest):.1f}, {sum(one < 95 for one in lowest)} below 95."
        yield from ["", *rows]


INTRODUCTION = f"""
# Coverage of the intervals

Made by `benchmarks/coverage.py`; what the intervals are is in [statistics.md](statistics.md#intervals).

Each number is the percentage of {RUNS:,} simulated evaluations whose 95% interval held the mean over all problems of
the kind (standard error 0.7). n problems are drawn anew for each evaluation; p is the mean chance of a right response,
and the kind says how the chances of the problems are spread around it. A cell holds a number for each measure of the
heading, in its order; - stands where the kind cannot have this mean. *Formerly* is the range, over the same cells, of
the intervals until commit c7719b8: the bootstrap's percentiles, Wilson's where each problem is all right or all wrong.
*Width* is the median, over the same cells, of the width now over the width then.
"""


if __name__ == "__main__":
    for line in page():
        print(line, flush=True)
