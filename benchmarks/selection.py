"""Does a selector help? PPO on the quickstart's task with and without one, at equal numbers of sampled tokens.

Each seed trains one SFT model, then PPO in groups of eight responses: without a selector for 24
steps, and with each selector for as many. A selector drops prompts, whose responses cost tokens
too, so of its run the model counts that had cost as much as the whole run without one; later, where
all responses are right, a selector may stop the run. All models answer the same held-out problems.
What is in --out already is not run again.
"""

import argparse
import statistics
import subprocess
from pathlib import Path

from cut import Cut, costs_of, cut_at, evaluated
from exploration import Arm, difference_row, run_rlsp

_ARMS = {
    "none": (),
    "zero_variance": ("ppo.select={use: zero_variance}",),
    "pass_rate": ("ppo.select={use: pass_rate, lo: 0.2, hi: 0.8}",),
}
# The learning rate is constant, since a run is cut where its tokens are those of another.
_GROUPS = (
    "ppo.estimator=rloo",
    "ppo.samples_per_prompt=8",
    "ppo.rollout_batch=32",
    "ppo.critic_warmup_steps=0",
    "ppo.schedule=constant",
    "ppo.export_every=1",
)
_HELDOUT = (
    "data.heldout={source: 'task:pair_sum', split: test, rows: 400, options: {largest: 12}}",
    "reward.correctness.use=exact_match",
    "eval.samples=4",
    "eval.temperature=1.0",
    "eval.max_new_tokens=128",
)

_NOTHING_LEFT = 7
"""Exit code where a selector drops too many prompts: the model solves nearly all of them."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()

    cuts = [_train(arguments.out / str(seed), seed) for seed in range(arguments.seeds)]
    arms = {name: [evaluated(of_seed[name], _HELDOUT) for of_seed in cuts] for name in _ARMS}
    print(_per_seed(cuts, arms), _differences(arms), sep="\n\n")


def _train(folder: Path, seed: int) -> dict[str, Cut]:
    """The run of each arm, cut where it has sampled as much as the one without a selector."""
    sft = folder / "sft"
    model = sft / "sft" / "checkpoints" / "final"
    if not model.exists():
        run_rlsp("sft", "quickstart", f"seed={seed}", out=sft)

    start = ("sft=null", "model.from_scratch=null", f"model.path={model}", f"seed={seed}")
    cuts: dict[str, Cut] = {}
    for name, select in _ARMS.items():
        budget = cuts["none"].tokens if cuts else None
        if not _is_done(folder / name, budget):
            _ppo((*start, *_GROUPS, *select), folder / name, budget)

        cuts[name] = cut_at(folder / name, budget or costs_of(folder / name)[-1])
    return cuts


def _is_done(run: Path, budget: int | None) -> bool:
    finished = (run / "ppo" / "checkpoints" / "final").exists()
    return finished or (budget is not None and costs_of(run)[-1:] >= [budget])


def _ppo(overrides: tuple[str, ...], run: Path, budget: int | None) -> None:
    """PPO to its end, or until a selector finds nothing more to learn from, if that is late enough."""
    try:
        run_rlsp("ppo", "quickstart", *overrides, out=run)
    except subprocess.CalledProcessError as error:
        if error.returncode != _NOTHING_LEFT or not _is_done(run, budget):
            raise


def _per_seed(cuts: list[dict[str, Cut]], arms: dict[str, list[Arm]]) -> str:
    lines = [
        "| selector | seed | steps | sampled, thousands | greedy | sampled |",
        "|---|---|---|---|---|---|",
    ]
    for name, seeds in arms.items():
        for seed, arm in enumerate(seeds):
            cut = cuts[seed][name]
            greedy, sampled = (
                statistics.fmean(arm.accuracy(kind).values()) for kind in ("greedy", "sample")
            )
            spent = f"{cut.step} | {cut.tokens / 1000:.0f}"
            lines.append(f"| {name} | {seed} | {spent} | {greedy:.3f} | {sampled:.3f} |")
    return "\n".join(lines)


def _differences(arms: dict[str, list[Arm]]) -> str:
    lines = ["| accuracy | difference | 95% interval |", "|---|---|---|"]
    for kind in ("greedy", "sample"):
        for name in [name for name in arms if name != "none"]:
            lines.append(difference_row(f"{kind}, {name} - none", arms["none"], arms[name], kind))
    return "\n".join(lines)


if __name__ == "__main__":
    main()
