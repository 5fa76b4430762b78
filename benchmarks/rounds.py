"""Do rounds of self-training help? Two settings on a small search, of which one helps and one hurts.

Each seed trains one model on demonstrations that give up too early, and goes on from it in two
rounds without these. `help` samples up to 80 tokens, which every search fits into; `hurt` up to 22,
into which only searches fit that are right at the first pair. All else is the same, and no round
ends the others. What is in --out already is not run again.
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
_NOTHING_NEW = 3
"""Exit code where a round finds no solution that is not there already; those before it are done."""
_TOKENS = {"help": 80, "hurt": 22}
"""By setting, the longest solution that is sampled."""
_COMMON = (
    "data.traces=null",
    "model.from_scratch=null",
    "sft.max_steps=200",
    "sft.learning_rate=1.0e-3",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=1)
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
    for arm, tokens in _TOKENS.items():
        if not (folder / arm / "report.html").exists():
            rounds = (
                f"rounds={{count: {_ROUNDS}, samples: 4, max_new_tokens: {tokens}, stop: null}}"
            )
            given = [f"seed={seed}", f"model.path={model}", *_COMMON, rounds]
            _run_rlsp("run", *given, out=folder / arm)


def _run_rlsp(command: str, *overrides: str, out: Path) -> None:
    resume = ["--resume"] if out.exists() else []
    words = [_RLSP, command, _RECIPE, *overrides, "--out", out, *resume]
    code = subprocess.run(words, check=False).returncode
    if code not in (0, _NOTHING_NEW):
        raise SystemExit(f"{out}: rlsp {command} ended with code {code}")
    subprocess.run([_RLSP, "report", out], check=True, stdout=subprocess.DEVNULL)


def _table(folders: dict[int, Path]) -> str:
    """One row per arm, seed and round: what was sampled, and sampled accuracy on held-out problems."""
    columns = "setting | seed | round | new traces | accuracy % | tokens | against round 0, points"
    lines = [f"| {columns} |", "|---" * 7 + "|"]
    for arm in _TOKENS:
        for seed, folder in folders.items():
            found = json.loads((folder / arm / "report.json").read_text())["data"]
            for number in range(len(found["rounds"]["rounds"])):
                lines.append(f"| {arm} | {seed} | {number} | {_row(found, folder / arm, number)} |")
    return "\n".join(lines)


def _row(report: dict[str, Any], run: Path, number: int) -> str:
    sampled = report["evaluation"]["models"][f"round-{number}"]["benches"]["heldout"]["sample"]
    numbers = report["rounds"]["rounds"][number]["numbers"]
    new = numbers["new"] if numbers else "-"

    moved = _moved(run, number) if number else "-"
    share = sampled["accuracy"]["value"]
    return f"{new} | {100 * share:.1f} | {sampled['tokens']:.1f} | {moved}"


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
