"""Does an exploration reward help? Several rewards from one SFT model for each seed, on held-out problems.

The arms are recipes in recipes/exploration. Each seed trains one SFT model, then each arm with PPO,
and asks the model of each the same held-out problems: one greedy response and four samples. What is
in --out already is not run again, so an interrupted comparison goes on.

The interval of a difference has two parts: Student's t over the seeds' differences, and the
standard error over the problems' differences. Both count in full, although the first contains some
of the second.
"""

import argparse
import json
import re
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

_RLSP = Path(sys.executable).parent / "rlsp"
_SUM = re.compile(r"(\d+) \+ (\d+) = (\d+)")
_BIN = 100_000
"""Sampled tokens in a row of the training curve."""


class Accuracies(Protocol):
    """Anything that has an accuracy on each problem."""

    def accuracy(self, kind: str) -> dict[str, float]: ...


@dataclass(frozen=True)
class Arm:
    """A seed's PPO run with one reward, and its answers to the held-out problems."""

    folder: Path
    model: str = "ppo"
    """Name of the model in the evaluation."""

    def rollouts(self) -> Iterator[dict[str, Any]]:
        return rows_of(self.folder / "ppo" / "rollouts.jsonl")

    def answers(self, kind: str) -> list[dict[str, Any]]:
        """Responses of kind `greedy` or `sample`."""
        folder = self.folder.with_name(f"{self.folder.name}-eval") / "eval" / self.model / "heldout"
        return [row for row in rows_of(folder / "samples.jsonl") if row["kind"] == kind]

    def accuracy(self, kind: str) -> dict[str, float]:
        """Of each problem."""
        verdicts = defaultdict(list)
        for row in self.answers(kind):
            verdicts[row["id"]].append(row["correctness"]["value"] or 0.0)
        return {problem: statistics.fmean(values) for problem, values in verdicts.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--arms", default="outcome_only,distinct_steps,length")
    parser.add_argument("--no-run", action="store_true", help="only print what is in --out")
    arguments = parser.parse_args()

    names = arguments.arms.split(",")
    seeds = range(arguments.seeds)
    arms = {name: [Arm(arguments.out / str(seed) / name) for seed in seeds] for name in names}
    if not arguments.no_run:
        for seed in seeds:
            _train_and_evaluate(arguments.out / str(seed), seed, names)

    print(_per_seed(arms), _differences(arms), _curves(arms), sep="\n\n")


def _train_and_evaluate(folder: Path, seed: int, names: list[str]) -> None:
    sft = folder / "sft"
    model = sft / "sft" / "checkpoints" / "final"
    if not model.exists():
        run_rlsp("sft", "exploration/distinct_steps", f"seed={seed}", out=sft)

    for name in names:
        run, evaluation = folder / name, folder / f"{name}-eval"
        if not (run / "ppo" / "checkpoints" / "final").exists():
            start = ["sft=null", "model.from_scratch=null", f"model.path={model}"]
            run_rlsp("ppo", f"exploration/{name}", f"seed={seed}", *start, out=run)
        if not (evaluation / "report.html").exists():
            run_rlsp("eval", str(run), "--bench", "heldout", out=evaluation)


def run_rlsp(*arguments: str, out: Path) -> None:
    # A stage that was interrupted goes on from its last checkpoint.
    resume = ["--resume"] if out.exists() else []
    subprocess.run([_RLSP, *arguments, "--out", out, *resume], check=True)


def _per_seed(arms: dict[str, list[Arm]]) -> str:
    lines = [
        "| reward | seed | sampled in training, thousands | greedy | sampled | tokens | go back "
        "| checks | repeated sums |",
        "|---" * 9 + "|",
    ]
    for name, seeds in arms.items():
        for seed, arm in enumerate(seeds):
            spent = sum(row["num_tokens"] for row in arm.rollouts()) / 1000
            greedy = statistics.fmean(arm.accuracy("greedy").values())
            sampled = statistics.fmean(arm.accuracy("sample").values())
            shape = _shape(arm.answers("sample"))
            lines.append(
                f"| {name} | {seed} | {spent:.0f} | {greedy:.3f} | {sampled:.3f} | {shape}"
            )
    return "\n".join(lines)


def _shape(rows: list[dict[str, Any]]) -> str:
    """Mean tokens, share that goes back, sums and repeated sums of each response."""
    texts = [row["response"] for row in rows]
    tokens = statistics.fmean(row["num_tokens"] for row in rows)
    back = statistics.fmean("go back" in text for text in texts)
    sums = [_SUM.findall(text) for text in texts]
    repeated = statistics.fmean(len(found) - len(set(found)) for found in sums)
    return f"{tokens:.1f} | {back:.2f} | {statistics.fmean(map(len, sums)):.2f} | {repeated:.3f} |"


def _differences(arms: dict[str, list[Arm]]) -> str:
    names = list(arms)
    lines = ["| accuracy | difference | 95% interval |", "|---|---|---|"]
    for kind in ("greedy", "sample"):
        for name in names[1:]:
            mean, half = difference(arms[names[0]], arms[name], kind)
            interval = f"{mean - half:+.3f} to {mean + half:+.3f}"
            lines.append(f"| {kind}, {name} - {names[0]} | {mean:+.3f} | {interval} |")
    return "\n".join(lines)


def difference(
    base: Sequence[Accuracies], other: Sequence[Accuracies], kind: str
) -> tuple[float, float]:
    """The mean difference over seeds and problems, and half of its 95% interval."""
    import numpy as np
    from scipy.stats import norm, t

    rows = []
    for first, second in zip(base, other, strict=True):
        before, after = first.accuracy(kind), second.accuracy(kind)
        rows.append([after[problem] - before[problem] for problem in sorted(before)])

    table = np.array(rows)
    seeds, problems = table.shape
    over_seeds = t.ppf(0.975, seeds - 1) * table.mean(axis=1).std(ddof=1) / seeds**0.5
    over_problems = norm.ppf(0.975) * table.mean(axis=0).std(ddof=1) / problems**0.5
    return float(table.mean()), float(np.hypot(over_seeds, over_problems))


def _curves(arms: dict[str, list[Arm]]) -> str:
    """Share of right responses in training, by tokens sampled so far; means over seeds."""
    lines = [
        "| tokens so far, thousands | " + " | ".join(arms) + " |",
        "|---" * (len(arms) + 1) + "|",
    ]
    curves = {name: [_curve(arm) for arm in seeds] for name, seeds in arms.items()}
    for number in range(max(len(curve) for seeds in curves.values() for curve in seeds)):
        cells = []
        for seeds in curves.values():
            shares = [curve[number] for curve in seeds if number < len(curve)]
            cells.append(f"{statistics.fmean(shares):.3f}" if len(shares) == len(seeds) else "")
        start = number * _BIN // 1000
        lines.append(f"| {start}-{start + _BIN // 1000} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _curve(arm: Arm) -> list[float]:
    spent, bins = 0, defaultdict(list)
    for row in arm.rollouts():
        bins[spent // _BIN].append(row["correctness"]["value"] or 0.0)
        spent += row["num_tokens"]
    return [statistics.fmean(bins[number]) for number in sorted(bins)]


def rows_of(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


if __name__ == "__main__":
    main()
