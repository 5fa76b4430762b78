"""How well do labels of steps find the truth? Monte Carlo and binary search on a process of known values.

The process is that of tests/toy_process.py: a line for each state, good or bad; the answer is the
last state. For each number K of completions it prints how far soft labels of good states are from
the true values (root of the mean square), the share whose 95% interval holds the true value, and,
where no bad state is mended, the share of wrong responses whose first error is found, beside its
expectation for hard labels. Then come questions asked for a wrong response. In the last table bad
states are mended with some probability, so that a response may still end well after an error.
"""

import argparse
import math
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

from rlsp_cli.evals.statistics import Estimate, mean_share
from rlsp_cli.rewards.sample import Sample, Score
from rlsp_cli.rewards.steps import split_steps
from rlsp_cli.traces.labels.binary import BinarySearch
from rlsp_cli.traces.labels.completions import Completions, Drawing
from rlsp_cli.traces.labels.labelled import Labelled, first_error
from rlsp_cli.traces.labels.monte_carlo import MonteCarlo
from rlsp_cli.traces.labels.remembered import Remembered
from rlsp_cli.traces.labels.solution import Solution

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.toy_process import PROMPT, ToyProcess, first_slip, is_good

_COUNTS = (1, 2, 4, 8, 16, 32)
"""Completions of each prefix."""
_SEEDS = 40
"""Seeds of completions for soft labels."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--responses", type=int, default=300, help="wrong responses for a row")
    parser.add_argument("--length", type=int, default=16, help="steps of a response")
    parser.add_argument("--slip", type=float, default=0.1)
    arguments = parser.parse_args()

    toy = ToyProcess(arguments.length, arguments.slip)
    print("| K | soft labels: error | in their interval | first error: mc | binary | expected |")
    print("|---|---|---|---|---|---|")
    for count in _COUNTS:
        print(_row(toy, count, arguments.responses))

    print("\n| K | questions a wrong response: mc | binary |\n|---|---|---|")
    print(_questions(toy, 8, arguments.responses))

    print("\n| mend | first error at K = 16: mc | binary |\n|---|---|---|")
    for mend in (0.0, 0.05, 0.2):
        mending = replace(toy, mend=mend)
        wrong = _wrong(mending, arguments.responses)
        shares = [_share(_labels(label, mending, 16, wrong)) for label in (_mc, _binary)]
        print(f"| {mend:g} | {' | '.join(shares)} |")


def _row(toy: ToyProcess, count: int, responses: int) -> str:
    wrong = _wrong(toy, responses)
    errors, inside = _soft(toy, count)
    shares = [_share(_labels(label, toy, count, wrong)) for label in (_mc, _binary)]
    return " | ".join([
        f"| {count}",
        f"{math.sqrt(fmean(errors)):.3f}",
        f"{fmean(inside):.1%}",
        *shares,
        f"{fmean(_chance(toy, one, count) for one in wrong):.1%} |",
    ])  # fmt: skip


def _soft(toy: ToyProcess, count: int) -> tuple[list[float], list[bool]]:
    """Squared errors of soft labels, and whether the true value is in the label's interval.

    Of good states alone: where nothing mends, a bad one has the value 0, which is no feat to find.
    """
    response = "\n".join(["good"] * toy.length)
    good = Solution("toy", Sample(PROMPT, response, correct=1.0), tuple(split_steps(response)))

    errors, inside = [], []
    for seed in range(_SEEDS):
        labeller = MonteCarlo(_completions(toy, count, seed), soft=True)
        for number, label in enumerate(labeller.label([good])[0].labels[:-1], 1):
            truth = toy.value(good.until(number))
            errors.append((float(label) - truth) ** 2)
            interval = _interval(float(label), count)
            inside.append(interval.low <= truth <= interval.high)
    return errors, inside


def _interval(share: float, count: int) -> Estimate:
    right = round(share * count)
    return mean_share([1.0] * right + [0.0] * (count - right))


def _chance(toy: ToyProcess, solution: Solution, count: int) -> float:
    """The probability that hard labels place the first error right: no good state is missed."""
    error = first_slip(solution.sample.response) or 0
    values = [toy.value(solution.until(number)) for number in range(1, error + 1)]
    return math.prod(1 - (1 - value) ** count for value in values)


@dataclass(frozen=True)
class _Found:
    """A wrong response and its labels."""

    solution: Solution
    labelled: Labelled

    @property
    def is_true(self) -> bool:
        return first_error(self.labelled.labels) == first_slip(self.solution.sample.response)


def _labels(label, toy: ToyProcess, count: int, wrong: Sequence[Solution]) -> list[_Found]:
    completions = [_completions(toy, count, number) for number in range(len(wrong))]
    pairs = zip(wrong, completions, strict=True)
    return [_Found(one, label(asked, one)) for one, asked in pairs]


def _mc(completions: Completions, solution: Solution) -> Labelled:
    return MonteCarlo(completions).label([solution])[0]


def _binary(completions: Completions, solution: Solution) -> Labelled:
    # A prompt whose completions all fail has no search: a response without labels.
    found = BinarySearch(completions, split_steps, searches=1).label([solution])
    own = [one for one in found if one.solution is solution]
    return own[0]


def _share(found: Sequence[_Found]) -> str:
    share = mean_share([float(one.is_true) for one in found])
    return f"{share.value:.1%} ({share.low:.1%} to {share.high:.1%})"


def _questions(toy: ToyProcess, count: int, responses: int) -> str:
    means = []
    for label in (_mc, _binary):
        asked = []
        for number, one in enumerate(_wrong(toy, responses)):
            completions = _completions(toy, count, number)
            label(completions, one)
            asked.append(completions.remembered.questions)
        means.append(f"{fmean(asked):.1f}")
    return f"| {count} | {' | '.join(means)} |"


def _walks(toy: ToyProcess, responses: int) -> list[Solution]:
    return [
        Solution("toy", sample, tuple(split_steps(sample.response)))
        for sample in toy.samples(responses)
    ]


def _wrong(toy: ToyProcess, responses: int) -> list[Solution]:
    """So many wrong responses."""
    wrong = [one for one in _walks(toy, 5 * responses) if not one.is_right]
    return wrong[:responses]


def _completions(toy: ToyProcess, count: int, seed: int) -> Completions:
    file = Path(tempfile.mkdtemp()) / "answers.jsonl"
    return Completions(toy.draw, Drawing(count, 64, 1.0, seed), _verdicts, Remembered(file))


def _verdicts(samples: Sequence[Sample]) -> list[Score]:
    return [Score("toy", "value", float(is_good(sample.response))) for sample in samples]


if __name__ == "__main__":
    main()
