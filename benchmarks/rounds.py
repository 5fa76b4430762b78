"""Do rounds of self-training help? Two settings on a small search, of which one helps and one hurts.

Each seed trains one model on demonstrations that give up too early, and goes on from it in two
rounds without these: `help` on solutions of 600 problems, from that model each time; `hurt` on
those of 16 problems, each round from the one before. Both take the same optimiser steps, and all
rounds are done. What is in --out already is not run again.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

_RECIPE = Path(__file__).with_suffix(".yaml")
_RLSP = Path(sys.executable).with_name("rlsp")
_ROUNDS = 2
_ARMS = {
    "help": ("data.prompts.rows=600", "rounds.from=base"),
    "hurt": ("data.prompts.rows=16", "rounds.from=previous"),
}
_COMMON = (
    "data.traces=null",
    "model.from_scratch=null",
    "sft.max_steps=200",
    "sft.learning_rate=1.0e-3",
    f"rounds={{count: {_ROUNDS}, samples: 4, max_new_tokens: 80, stop: null}}",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--no-run", action="store_true", help="only print what is in --out")
    arguments = parser.parse_args()

    folders = {seed: arguments.out / str(seed) for seed in range(arguments.seeds)}
    if not arguments.no_run:
        for seed, folder in folders.items():
            _train(folder, seed)
    print(_table(folders))


def _train(folder: Path, seed: int) -> None:
    base = folder / "base"
    model = base / "sft" / "checkpoints" / "final"
    if not model.exists():
        _run_rlsp("sft", f"seed={seed}", out=base)
    for arm, overrides in _ARMS.items():
        if not (folder / arm / "report.html").exists():
            given = [f"seed={seed}", f"model.path={model}", *_COMMON, *overrides]
            _run_rlsp("run", *given, out=folder / arm)


def _run_rlsp(command: str, *overrides: str, out: Path) -> None:
    resume = ["--resume"] if out.exists() else []
    subprocess.run([_RLSP, command, _RECIPE, *overrides, "--out", out, *resume], check=True)


def _table(folders: dict[int, Path]) -> str:
    """One row per arm, seed and round: what was sampled, and sampled accuracy on held-out problems."""
    columns = "setting | seed | round | new traces | accuracy % | tokens | against round 0, points"
    lines = [f"| {columns} |", "|---" * 7 + "|"]
    for arm in _ARMS:
        for seed, folder in folders.items():
            found = json.loads((folder / arm / "report.json").read_text())["data"]
            for number in range(_ROUNDS + 1):
                lines.append(f"| {arm} | {seed} | {number} | {_row(found, folder / arm, number)} |")
    return "\n".join(lines)


def _row(report: dict[str, Any], run: Path, number: int) -> str:
    sampled = report["evaluation"]["models"][f"round-{number}"]["benches"]["heldout"]["sample"]
    numbers = report["rounds"]["rounds"][number]["numbers"]
    new = numbers["new"] if numbers else "-"

    moved = _moved(run, number) if number else "-"
    return f"{new} | {100 * sampled['avg']:.1f} | {sampled['tokens']:.1f} | {moved}"


def _moved(run: Path, number: int) -> str:
    """The paired difference of a round to round 0, with its 95% interval over problems."""
    answers = [str(run / "eval" / name) for name in ("round-0", f"round-{number}")]
    done = subprocess.run(
        [_RLSP, "compare", *answers, "--json"], capture_output=True, text=True, check=True
    )
    comparisons = json.loads(done.stdout)["data"]["comparisons"]
    found = next(one for one in comparisons if one["kind"] == "sample")
    points = (100 * found[key] for key in ("difference", "low", "high"))
    return "{:+.1f} ({:+.1f} to {:+.1f})".format(*points)


if __name__ == "__main__":
    main()
