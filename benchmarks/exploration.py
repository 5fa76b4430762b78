"""Does an exploration reward help? Several rewards from one SFT model for each seed, on held-out problems.

Each seed trains one SFT model, then each arm's recipe with PPO, and asks the model of each the same
held-out problems. What is in --out already is not run again, so an interrupted comparison goes on.

The interval of a difference counts seeds and problems: `rlsp_cli.evals.statistics.over_seeds`.
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

from rlsp_cli.evals.statistics import difference_over_seeds

_RLSP = Path(sys.executable).parent / "rlsp"
_SUM = re.compile(r"(\d+) \+ (\d+) = (\d+)")
_ARMS = "exploration/outcome_only,exploration/distinct_steps,exploration/length"


class Accuracies(Protocol):
    """Anything that has an accuracy on each problem."""

    def accuracy(self, kind: str) -> dict[str, float]: ...


@dataclass(frozen=True)
class Arm:
    """A seed's PPO run with one reward, and its answers to the held-out problems."""

    folder: Path
    model: str = "ppo"
    """Name of the model in the evaluation."""
    bench: str = "heldout"

    @property
    def evaluation(self) -> Path:
        """The run that has the answers."""
        return self.folder.with_name(f"{self.folder.name}-eval")

    def rollouts(self) -> Iterator[dict[str, Any]]:
        return rows_of(self.folder / "ppo" / "rollouts.jsonl")

    def answers(self, kind: str) -> list[dict[str, Any]]:
        """Responses of kind `greedy` or `sample`."""
        file = self.evaluation / "eval" / self.model / self.bench / "samples.jsonl"
        return [row for row in rows_of(file) if row["kind"] == kind]

    def accuracy(self, kind: str) -> dict[str, float]:
        """Of each problem."""
        verdicts = defaultdict(list)
        for row in self.answers(kind):
            verdicts[row["id"]].append(row["correctness"]["value"] or 0.0)
        return {problem: statistics.fmean(values) for problem, values in verdicts.items()}


class ArmInPlace(Arm):
    """An arm that was evaluated in its own run."""

    @property
    def evaluation(self) -> Path:
        return self.folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--arms", default=_ARMS, help="recipes; the first is the baseline")
    parser.add_argument("--model", help="the model of the recipes, where it lies elsewhere")
    parser.add_argument("--one-sft", action="store_true", help="one SFT model for all seeds")
    parser.add_argument("--bin", type=int, default=100_000, help="tokens in a row of the curve")
    parser.add_argument("--no-run", action="store_true", help="only print what is in --out")
    arguments = parser.parse_args()

    recipes = arguments.arms.split(",")
    seeds = range(arguments.seeds)
    if not arguments.no_run:
        for seed in seeds:
            sft = arguments.out / str(0 if arguments.one_sft else seed) / "sft"
            model = _sft(sft, recipes[0], arguments.model)
            for recipe in recipes:
                _train_and_evaluate(arguments.out / str(seed), seed, recipe, model)

    arms = {
        _name(recipe): [Arm(arguments.out / str(seed) / _name(recipe)) for seed in seeds]
        for recipe in recipes
    }
    print(_per_seed(arms), _differences(arms), _curves(arms, arguments.bin), sep="\n\n")


def _name(recipe: str) -> str:
    return recipe.rpartition("/")[2]


def _sft(folder: Path, recipe: str, base: str | None) -> Path:
    """The model that all arms start from; its seed is the name of the folder around it."""
    model = folder / "sft" / "checkpoints" / "final"
    if not model.exists():
        changes = [f"seed={folder.parent.name}", *([f"model.path={base}"] if base else [])]
        run_rlsp("sft", recipe, *changes, out=folder)
    return model


def _train_and_evaluate(folder: Path, seed: int, recipe: str, model: Path) -> None:
    run, evaluation = folder / _name(recipe), folder / f"{_name(recipe)}-eval"
    if not (run / "ppo" / "checkpoints" / "final").exists():
        start = ["sft=null", "model.from_scratch=null", f"model.path={model}"]
        run_rlsp("ppo", recipe, f"seed={seed}", *start, out=run)
    if not (evaluation / "report.html").exists():
        run_rlsp("eval", str(run), "--bench", "heldout", out=evaluation)


def run_rlsp(*arguments: str, out: Path) -> None:
    # A stage that was interrupted goes on from its last checkpoint.
    resume = ["--resume"] if out.exists() else []
    # The output of a benchmark is its table.
    subprocess.run([_RLSP, *arguments, "--out", out, *resume], check=True, stdout=sys.stderr)


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
            words = f"{kind}, {name} - {names[0]}"
            lines.append(difference_row(words, arms[names[0]], arms[name], kind))
    return "\n".join(lines)


def difference_row(
    words: str, base: Sequence[Accuracies], other: Sequence[Accuracies], kind: str
) -> str:
    """A row of a table: the words, the mean difference and its interval."""
    mean, half = difference(base, other, kind)
    return f"| {words} | {mean:+.3f} | {mean - half:+.3f} to {mean + half:+.3f} |"


def difference(
    base: Sequence[Accuracies], other: Sequence[Accuracies], kind: str
) -> tuple[float, float]:
    """The mean difference over seeds and problems, and half of its 95% interval."""
    pairs = [
        (first.accuracy(kind), second.accuracy(kind))
        for first, second in zip(base, other, strict=True)
    ]
    found = difference_over_seeds(pairs, {})
    assert found and found.high is not None, "several seeds and problems"
    return found.difference, found.high - found.difference


def _curves(arms: dict[str, list[Arm]], width: int) -> str:
    """Share of right responses in training, by `width` tokens sampled so far; means over seeds."""
    lines = [
        "| tokens so far, thousands | " + " | ".join(arms) + " |",
        "|---" * (len(arms) + 1) + "|",
    ]
    curves = {name: [_curve(arm, width) for arm in seeds] for name, seeds in arms.items()}
    for number in range(max(len(curve) for seeds in curves.values() for curve in seeds)):
        cells = []
        for seeds in curves.values():
            shares = [curve[number] for curve in seeds if number < len(curve)]
            cells.append(f"{statistics.fmean(shares):.3f}" if len(shares) == len(seeds) else "")
        start = number * width // 1000
        lines.append(f"| {start}-{start + width // 1000} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _curve(arm: Arm, width: int) -> list[float]:
    spent, bins = 0, defaultdict(list)
    for row in arm.rollouts():
        bins[spent // width].append(row["correctness"]["value"] or 0.0)
        spent += row["num_tokens"]
    return [statistics.fmean(bins[number]) for number in sorted(bins)]


def rows_of(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


if __name__ == "__main__":
    main()
