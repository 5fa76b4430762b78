"""Do dense step rewards help? PPO on the quickstart's task, at equal numbers of sampled tokens.

All runs start from one SFT model, trained for less long than the quickstart's, so that a quarter of
its first sums are wrong. Each seed makes three: with the outcome alone, with each step paid where
it ends by the scorer in recipes/pair_sum_steps.py, and the same without `clip` and `delta`, where repeated
steps are paid too. Of each run the model counts that had sampled as many tokens as the shortest of
the seed's runs. All models answer the same held-out problems. What is in --out already is not run
again.
"""

import argparse
import statistics
from pathlib import Path

from cut import Cut, costs_of, cut_at, evaluated
from exploration import Arm, difference_row, rows_of, run_rlsp

from rlsp_cli.rewards.alarms import alarms

_SCORER = Path(__file__).parents[1] / "recipes" / "pair_sum_steps.py"


def _dense(refine: str) -> tuple[str, ...]:
    steps = f"steps: {{by: sentences, dense: true{refine}}}"
    use = f"use: '{_SCORER}:sums', on_abstain: {{penalise: 0}}, {steps}"
    return (f"reward.exploration={{{use}}}",)


_ARMS = {
    "outcome": ("reward.exploration=[]",),
    "dense": _dense(""),
    "dense, refine: []": _dense(", refine: []"),
}
# The learning rate is constant, since a run is cut where its tokens are those of another.
_PPO = (
    "reward.alpha=0.5",
    "ppo.steps=24",
    "ppo.rollout_batch=128",
    "ppo.train_batch=32",
    "ppo.schedule=constant",
    "ppo.export_every=1",
)
_HELDOUT = (
    "data.heldout={source: 'task:pair_sum', split: test, rows: 200, options: {largest: 12}}",
    "reward.correctness.use=exact_match",
    "eval.samples=4",
    "eval.temperature=1.0",
    "eval.max_new_tokens=128",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()

    start, cuts = _start(arguments.out / "sft"), []
    arms: dict[str, list[Arm]] = {name: [] for name in _ARMS}
    for seed in range(arguments.seeds):
        cuts.append(_trained(arguments.out / str(seed), seed, start))
        for name, cut in cuts[-1].items():
            arms[name].append(evaluated(cut, _HELDOUT))
    print(_per_seed(cuts, arms), _differences(arms), sep="\n\n")


def _start(run: Path) -> Path:
    """The SFT model."""
    model = run / "sft" / "checkpoints" / "final"
    if not model.exists():
        run_rlsp("sft", "quickstart", "sft.max_steps=300", out=run)
    return model


def _trained(folder: Path, seed: int, model: Path) -> dict[str, Cut]:
    """Each arm's run, cut where it has sampled as much as the one that sampled least."""
    start = ("sft=null", "model.from_scratch=null", f"model.path={model}", f"seed={seed}")
    runs = {name: folder / f"arm{number}" for number, name in enumerate(_ARMS)}
    for name, run in runs.items():
        if not (run / "ppo" / "checkpoints" / "final").exists():
            run_rlsp("ppo", "quickstart", *start, *_PPO, *_ARMS[name], out=run)

    budget = min(costs_of(run)[-1] for run in runs.values())
    return {name: cut_at(run, budget) for name, run in runs.items()}


def _per_seed(cuts: list[dict[str, Cut]], arms: dict[str, list[Arm]]) -> str:
    lines = [
        "| reward | seed | steps | sampled, thousands | greedy | sampled | tokens "
        "| whole run: tokens, paid for repeats | alarm at step |",
        "|---" * 9 + "|",
    ]
    for name, seeds in arms.items():
        for seed, arm in enumerate(seeds):
            cut = cuts[seed][name]
            greedy, sampled = (
                statistics.fmean(arm.accuracy(kind).values()) for kind in ("greedy", "sample")
            )
            tokens = statistics.fmean(row["num_tokens"] for row in arm.answers("sample"))
            spent = f"{cut.step} | {cut.tokens / 1000:.0f}"
            found = f"{greedy:.3f} | {sampled:.3f} | {tokens:.1f} | {_repeats(cut)}"
            lines.append(f"| {name} | {seed} | {spent} | {found} |")
    return "\n".join(lines)


def _repeats(cut: Cut) -> str:
    """Of the whole run's last five steps, length and share for repeats; and where the alarm fires first."""
    rows = list(rows_of(cut.run / "ppo" / "metrics.jsonl"))
    tokens = statistics.fmean(row["response/tokens"] for row in rows[-5:])
    shares = [row.get("exploration/sums/from_repeats") for row in rows[-5:]]
    known = [share for share in shares if share is not None]
    share = f"{tokens:.0f}, {statistics.fmean(known):.2f}" if known else f"{tokens:.0f}, -"

    fired = [alarm.step + 1 for alarm in alarms(rows) if alarm.kind == "repeated_steps"]
    return f"{share} | {fired[0] if fired else '-'}"


def _differences(arms: dict[str, list[Arm]]) -> str:
    first, *others = arms
    lines = ["| accuracy | difference | 95% interval |", "|---|---|---|"]
    for kind in ("greedy", "sample"):
        for name in others:
            words = f"{kind}, {name} - {first}"
            lines.append(difference_row(words, arms[first], arms[name], kind))
    return "\n".join(lines)


if __name__ == "__main__":
    main()
