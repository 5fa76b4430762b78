"""How often the 95% intervals of `rlsp eval` contain the mean over all problems of a kind. Writes docs/coverage.md.

    .venv/bin/python benchmarks/coverage.py > docs/coverage.md
    .venv/bin/python benchmarks/coverage.py --cells > cells.csv

A cell draws problems of a kind and responses to them, 1,000 times, and computes two intervals of
each draw: the present one, and the one until commit c7719b8 (Wilson's where every problem is all
right or all wrong, otherwise percentiles of resampled problems). This script computes the present
interval for all draws at once; `rlsp_cli` computes it for some of them, and both must agree.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import product
from typing import NamedTuple
from zlib import crc32

import numpy as np
from scipy import stats
from scipy.optimize import brentq

from rlsp_cli.evals.metrics.curves import pass_at_k
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


class Cell(NamedTuple):
    """Simulated evaluations of one measure on one kind of problems: how many intervals hold its mean, in percent."""

    kind: str
    problems: int
    mean: float
    measure: str
    held: float
    before: float
    ratio: float | None
    """Width of the present interval over that of the former one; None if the latter has none."""


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


def cells(kinds: dict[str, Draw], measures: list[Score]) -> Iterator[Cell]:
    """The cells of all kinds, numbers of problems and mean chances that a kind can have."""
    can = {
        (name, mean): possible(draw, mean) for (name, draw), mean in product(kinds.items(), CHANCES)
    }
    for (name, draw), problems, mean in product(kinds.items(), PROBLEMS, CHANCES):
        if not can[name, mean]:
            continue

        rng = np.random.default_rng([crc32(name.encode()), problems, round(100 * mean)])
        for score in measures:
            held, before, width, width_before = cell(rng, draw, mean, problems, score)
            ratio = width / width_before if width_before else None
            yield Cell(name, problems, mean, score.name, held, before, ratio)


def all_cells() -> tuple[list[Cell], list[Cell]]:
    """Those of avg@k, and those of the other measures."""
    kinds = {**CHOSEN, **FRESH}
    return list(cells(kinds, [avg(k) for k in SAMPLES])), list(cells(kinds, of_sixteen()))


def page(averages: Sequence[Cell], others: Sequence[Cell]) -> Iterator[str]:
    """The page, line by line."""
    yield from INTRODUCTION.strip().splitlines()
    yield from ["", "| measures | cells | lowest % | below 95% |", "|---|---|---|---|"]
    for title, some in (("avg@1, avg@4, avg@16", averages), (OTHERS, others)):
        for part, names in (("chosen on", CHOSEN), ("fresh", FRESH)):
            held = [one.held for one in some if one.kind in names]
            below = sum(share < 95 for share in held)
            yield f"| {title}; kinds {part} | {len(held)} | {min(held):.1f} | {below} |"

    yield from ["", "## By kind of difficulty", "", *HEAD]
    for kind, problems in product({**CHOSEN, **FRESH}, PROBLEMS):
        sides = [_in(some, kind, problems) for some in (averages, others)]
        yield f"| {kind} | {problems} | {' | '.join(_summary(side) for side in sides)} |"

    yield from ["", f"## Cells below {LOW}%", "", "| kind | n | p | measure | coverage % |"]
    yield "|---|---|---|---|---|"
    for one in sorted((*averages, *others), key=lambda one: one.held):
        if one.held < LOW - 1e-9:
            yield f"| {one.kind} | {one.problems} | {one.mean} | {one.measure} | {one.held:.1f} |"


def _in(some: Sequence[Cell], kind: str, problems: int) -> list[Cell]:
    return [one for one in some if (one.kind, one.problems) == (kind, problems)]


def _summary(some: Sequence[Cell]) -> str:
    """Lowest and median coverage, the lowest of the former interval, and the median ratio of the widths."""
    held = [one.held for one in some]
    ratio = np.median([one.ratio for one in some if one.ratio is not None])
    before = min(one.before for one in some)
    return f"{min(held):.1f} | {np.median(held):.1f} | {before:.1f} | {ratio:.2f}"


def as_csv(some: Sequence[Cell]) -> Iterator[str]:
    """Every cell, a line each."""
    yield "kind;problems;mean;measure;coverage;former coverage;width over former width"
    for one in some:
        ratio = "" if one.ratio is None else f"{one.ratio:.3f}"
        yield (
            f"{one.kind};{one.problems};{one.mean};{one.measure};"
            f"{one.held:.1f};{one.before:.1f};{ratio}"
        )


LOW = 94.5
"""Cells below this are listed one by one."""
OTHERS = "pass@4 and maj@4 of 16, maj@16, avg of 1 to 16"
HEAD = (
    "| kind | n | avg@k: lowest | median | formerly lowest | width "
    "| others: lowest | median | formerly lowest | width |",
    "|---|---|---|---|---|---|---|---|---|---|",
)
INTRODUCTION = f"""
# Coverage of the intervals

This page shows how often the 95% intervals of `rlsp eval` contain the true value in simulations.
[statistics.md](statistics.md#intervals) describes the intervals. `benchmarks/coverage.py` writes this page and, with
`--cells`, prints every cell.

A cell is {RUNS:,} simulated evaluations. Each draws n problems of a kind, and responses to them. The cell's coverage is
the percentage of evaluations whose interval contains the mean over all problems of the kind (standard error 0.7).

- *n* is the number of problems, *p* the mean probability of a right response: {", ".join(map(str, CHANCES))}, where the
  kind can have this mean.
- The *kind* says how the probabilities of the problems are spread around p. The interval was chosen on the first
  {len(CHOSEN)} kinds. The last {len(FRESH)}, from "{next(iter(FRESH))}" on, are fresh.
- *avg@k* is avg@1, avg@4 and avg@16. *Others* are {OTHERS} responses.
- *Formerly* is the interval until commit c7719b8: the bootstrap's percentiles, or Wilson's where each problem is all
  right or all wrong. *Width* is the median ratio of the width now to the width then.
"""


if __name__ == "__main__":
    averages, others = all_cells()
    lines = as_csv([*averages, *others]) if "--cells" in sys.argv else page(averages, others)
    for line in lines:
        print(line, flush=True)
