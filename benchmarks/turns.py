"""Does a model learn to use a tool? PPO on products of three-digit numbers, with the calculator and without.

Each seed trains one SFT model, which asks the calculator in three responses of ten, then PPO from
it with the calculator and without (`continuation=null`). All models answer the same held-out
problems in the setting in which they were trained; the SFT model is asked in both. What is in --out
already is not run again.
"""

import argparse
import statistics
from pathlib import Path

from exploration import Arm, ArmInPlace, difference_row, run_rlsp

_SETTINGS = {"tool": (), "no_tool": ("continuation=null",)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--no-run", action="store_true", help="only print what is in --out")
    parser.add_argument("override", nargs="*", help="KEY=VALUE for all stages, to try it small")
    arguments = parser.parse_args()

    seeds = [arguments.out / str(seed) for seed in range(arguments.seeds)]
    if not arguments.no_run:
        for seed, folder in enumerate(seeds):
            _train_and_evaluate(folder, (f"seed={seed}", *arguments.override))
    print(_table(seeds), _differences(seeds), sep="\n\n")


def _train_and_evaluate(folder: Path, overrides: tuple[str, ...]) -> None:
    sft = folder / "sft"
    model = sft / "sft" / "checkpoints" / "final"
    if not model.exists():
        run_rlsp("sft", "turns/product", *overrides, out=sft)

    start = ("sft=null", "data.traces=null", "model.from_scratch=null", f"model.path={model}")
    for name, setting in _SETTINGS.items():
        run = folder / name
        if not (run / "report.html").exists():
            run_rlsp("run", "turns/product", *overrides, *setting, *start, out=run)


def _arms(seeds: list[Path], setting: str, model: str) -> list[Arm]:
    """The model `base` (after SFT) or `ppo` of each seed, in a setting."""
    return [ArmInPlace(folder / setting, model) for folder in seeds]


def _table(seeds: list[Path]) -> str:
    lines = [
        "| setting | model | seed | greedy | sampled | answers of the tool | tokens | foreign tokens |",
        "|---" * 8 + "|",
    ]
    for setting in _SETTINGS:
        for model in ("base", "ppo"):
            for seed, arm in enumerate(_arms(seeds, setting, model)):
                cells = " | ".join(f"{number:.3f}" for number in _numbers(arm))
                lines.append(f"| {setting} | {model} | {seed} | {cells} |")
    return "\n".join(lines)


def _numbers(arm: Arm) -> list[float]:
    rows = arm.answers("sample")
    turns = [row.get("turns") or {"said": [], "foreign_tokens": 0} for row in rows]
    answers = [sum(turn["by"] != "model" for turn in one["said"]) for one in turns]
    return [
        statistics.fmean(arm.accuracy("greedy").values()),
        statistics.fmean(arm.accuracy("sample").values()),
        statistics.fmean(answers),
        statistics.fmean(row["num_tokens"] for row in rows),
        statistics.fmean(one["foreign_tokens"] for one in turns),
    ]


def _differences(seeds: list[Path]) -> str:
    before, after = _arms(seeds, "tool", "base"), _arms(seeds, "tool", "ppo")
    without = _arms(seeds, "no_tool", "ppo")
    pairs = {"ppo - sft, both with the tool": (before, after)}
    pairs["ppo, with - without the tool"] = (without, after)

    lines = ["| accuracy | difference | 95% interval |", "|---|---|---|"]
    for kind in ("greedy", "sample"):
        for words, (first, second) in pairs.items():
            lines.append(difference_row(f"{kind}, {words}", first, second, kind))
    return "\n".join(lines)


if __name__ == "__main__":
    main()
