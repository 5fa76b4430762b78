"""Does a model learn a game from itself? Self-play on the recipe turns/self_play, before and after.

Each seed trains one SFT model on random legal games, then PPO in which it plays both seats. Both
models play the same held-out games against the random and the perfect player. With --transfer they
answer a math bench too, in plain responses; a model from scratch knows no words but those of games,
so name a pretrained one for that (model.from_scratch=null model.path=MODEL). What is in --out
already is not run again.
"""

import argparse
import statistics
from pathlib import Path

from exploration import Arm, ArmInPlace, difference_row, run_rlsp

_PLAYERS = ("random", "perfect")
_MODELS = ("sft", "ppo")
_EVALUATED = ("sft=null", "ppo=null", "data.traces=null", "data.prompts=null")
"""What leaves nothing but the evaluation of a recipe."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--transfer", metavar="BENCH", help="a bench beside the games")
    parser.add_argument("--transfer-tokens", type=int, help="its eval.max_new_tokens")
    parser.add_argument("--no-run", action="store_true", help="only print what is in --out")
    parser.add_argument("override", nargs="*", help="KEY=VALUE for all stages, to try it small")
    arguments = parser.parse_args()

    seeds = [arguments.out / str(seed) for seed in range(arguments.seeds)]
    if not arguments.no_run:
        for seed, folder in enumerate(seeds):
            _train_and_evaluate(folder, (f"seed={seed}", *arguments.override))
            if arguments.transfer:
                limit = arguments.transfer_tokens
                limits = (f"eval.max_new_tokens={limit}",) if limit else ()
                _ask(folder, arguments.transfer, (f"seed={seed}", *limits))
    print(_table(seeds), _differences(seeds), sep="\n\n")
    if arguments.transfer:
        print(_transfer(seeds, arguments.transfer))


def _train_and_evaluate(folder: Path, overrides: tuple[str, ...]) -> None:
    run = folder / "train"
    if not (run / "report.html").exists():
        run_rlsp("run", "turns/self_play", *overrides, "eval=null", out=run)

    for player in _PLAYERS:
        for model in _MODELS:
            path = run / model / "checkpoints" / "final"
            start = (f"model.path={path}", "model.from_scratch=null", *_EVALUATED)
            out = folder / f"{player}-{model}"
            if not (out / "report.html").exists():
                chosen = f"continuation.player={player}"
                run_rlsp("run", "turns/self_play", *overrides, *start, chosen, out=out)


def _ask(folder: Path, bench: str, overrides: tuple[str, ...]) -> None:
    """Have both models answer a bench."""
    for model in _MODELS:
        path, out = folder / "train" / model / "checkpoints" / "final", folder / f"{bench}-{model}"
        if not (out / "report.html").exists():
            run_rlsp("eval", str(path), "--bench", bench, *overrides, out=out)


def _transfer(seeds: list[Path], bench: str) -> str:
    """The rows of a bench for the table of differences."""
    before, after = (
        [ArmInPlace(folder / f"{bench}-{model}", model, bench) for folder in seeds]
        for model in _MODELS
    )
    kinds = ("greedy", "sample")
    return "\n".join(difference_row(f"{bench}, {kind}", before, after, kind) for kind in kinds)


def _arms(seeds: list[Path], player: str, model: str) -> list[Arm]:
    # An evaluation of a single model calls it after the stage that trained it.
    return [ArmInPlace(folder / f"{player}-{model}", model) for folder in seeds]


def _table(seeds: list[Path]) -> str:
    lines = [
        "| player | model | seed | value, greedy | value, sampled | won | drawn | legal |",
        "|---" * 8 + "|",
    ]
    for player in _PLAYERS:
        for model in _MODELS:
            for seed, arm in enumerate(_arms(seeds, player, model)):
                cells = " | ".join(f"{number:.3f}" for number in _numbers(arm))
                lines.append(f"| {player} | {model} | {seed} | {cells} |")
    return "\n".join(lines)


def _numbers(arm: Arm) -> list[float]:
    checks = [row["correctness"]["checks"] for row in arm.answers("sample")]
    values = [statistics.fmean(arm.accuracy(kind).values()) for kind in ("greedy", "sample")]
    shares = [
        statistics.fmean(one[rule][0] for one in checks) for rule in ("won", "drawn", "legal")
    ]
    return [*values, *shares]


def _differences(seeds: list[Path]) -> str:
    lines = ["| value, ppo - sft | difference | 95% interval |", "|---|---|---|"]
    for player in _PLAYERS:
        before, after = (_arms(seeds, player, model) for model in _MODELS)
        for kind in ("greedy", "sample"):
            lines.append(difference_row(f"against {player}, {kind}", before, after, kind))
    return "\n".join(lines)


if __name__ == "__main__":
    main()
