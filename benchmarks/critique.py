"""Is refinement by a critic worth its tokens? Beside plain votes at equal tokens, the critic's included.

Each seed has the model answer a bench twice: in turns with `critique_refine`, and in plain samples.
On each problem the votes are of as many plain samples as the refined responses cost there, the
tokens of the model's and those that the critic read and wrote. Answers are compared as texts. What
is in --out already is not run again.
"""

import argparse
import json
import statistics
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exploration import difference_row, run_rlsp

from rlsp_cli.evals.strategies.strategy import Candidate
from rlsp_cli.evals.strategies.table import STRATEGIES
from rlsp_cli.evals.strategies.token_budget import choose_within

_VOTE = STRATEGIES["self_consistency"]


@dataclass(frozen=True)
class Measured:
    """Accuracy and tokens on each problem."""

    right: dict[str, float]
    tokens: dict[str, float]

    def accuracy(self, kind: str) -> dict[str, float]:
        return self.right


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--critic", help="another model; by default the model itself")
    parser.add_argument("--bench", default="math500")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--samples", type=int, default=16, help="plain samples of a problem")
    parser.add_argument("--no-run", action="store_true", help="only print what is in --out")
    parser.add_argument("override", nargs="*", help="KEY=VALUE for both evaluations")
    arguments = parser.parse_args()

    seeds = [arguments.out / str(seed) for seed in range(arguments.seeds)]
    if not arguments.no_run:
        for seed, folder in enumerate(seeds):
            _evaluate(folder, seed, arguments)
    print(_tables(seeds))


def _evaluate(folder: Path, seed: int, arguments: argparse.Namespace) -> None:
    critic = arguments.critic or arguments.model
    refined = [f"models={{critic: {{path: {critic}}}}}", "eval.samples=1"]
    refined.append("continuation={use: critique_refine, max_tokens: 600, timeout_s: 600}")
    settings = {"refined": refined, "plain": [f"eval.samples={arguments.samples}"]}

    for name, setting in settings.items():
        if not (folder / name / "report.html").exists():
            words = ("--bench", arguments.bench, f"seed={seed}", *setting, *arguments.override)
            run_rlsp("eval", arguments.model, *words, out=folder / name)


def _tables(seeds: list[Path]) -> str:
    refined = [_refined(_samples(folder / "refined")) for folder in seeds]
    votes = [
        _votes(_samples(folder / "plain"), cost.tokens)
        for folder, cost in zip(seeds, refined, strict=True)
    ]

    lines = ["| way | seed | accuracy | tokens |", "|---|---|---|---|"]
    for way, found in {"refined": refined, "votes": votes}.items():
        for seed, one in enumerate(found):
            means = [statistics.fmean(values.values()) for values in (one.right, one.tokens)]
            lines.append(f"| {way} | {seed} | {means[0]:.3f} | {means[1]:.0f} |")
    lines += ["", "| accuracy | difference | 95% interval |", "|---|---|---|"]
    lines.append(difference_row("refined - votes at equal tokens", votes, refined, "sample"))
    return "\n".join(lines)


def _samples(run: Path) -> dict[str, list[dict[str, Any]]]:
    """The sampled responses of each problem."""
    (file,) = run.glob("eval/*/*/samples.jsonl")
    found = defaultdict(list)
    for line in file.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if row["kind"] == "sample":
            found[row["id"]].append(row)
    return found


def _refined(problems: dict[str, list[dict[str, Any]]]) -> Measured:
    return Measured(
        {id: statistics.fmean(map(_right, rows)) for id, rows in problems.items()},
        {
            id: statistics.fmean(row["num_tokens"] + row.get("other_tokens", 0) for row in rows)
            for id, rows in problems.items()
        },
    )


def _votes(problems: dict[str, list[dict[str, Any]]], budgets: dict[str, float]) -> Measured:
    chosen = {
        id: choose_within([_candidate(row) for row in rows], budgets[id], _VOTE)
        for id, rows in problems.items()
    }
    return Measured(
        {id: one.accuracy for id, one in chosen.items()},
        {id: one.tokens or 0.0 for id, one in chosen.items()},
    )


def _candidate(row: dict[str, Any]) -> Candidate:
    answer = row["correctness"]["answer"]
    return Candidate(row["response"], answer, _right(row) > 0.5, row["num_tokens"])


def _right(row: dict[str, Any]) -> float:
    return float(row["correctness"]["value"] or 0.0)


if __name__ == "__main__":
    main()
