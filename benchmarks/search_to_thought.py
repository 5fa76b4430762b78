"""Do chains out of searches help? The recipe search_to_thought beside runs without search data, at equal tokens.

Each seed makes three runs of the recipe. `search` is the recipe as it is; `sampled` samples the
solutions of its round instead of searching, and `ppo` has no round and goes on with PPO. All tokens
that a run's models sample count: PPO's of every round, and what the search or the sampling wrote.
Of each run the model counts that had sampled as much as the shortest of the seed's runs. All
models answer the same held-out problems. What is in --out already is not run again; --set gives
other sizes, such as --set sft.max_steps=100.
"""

import argparse
import json
import math
import statistics
from dataclasses import dataclass
from pathlib import Path

from cut import costs_of, cut_at, evaluated
from exploration import Arm, difference_row, run_rlsp

from rlsp_cli.data.returns import Returns

_RECIPE = "search_to_thought"
# The learning rate is constant, since a run is cut where its tokens are those of another.
_COMMON = ("ppo.schedule=constant", "ppo.export_every=1")
_ROUNDS: dict[str, tuple[str, ...]] = {
    "search": (),
    "sampled": ("rounds.search=null", "rounds.samples=4"),
}
_PPO = "ppo"
_SPARE = 1.2
"""Steps of the run without rounds, beside what the tokens of the run with a search come to."""
_HELDOUT = (
    "data.heldout={source: 'task:pair_sum', split: test, rows: 200, options: {largest: 12}}",
    "reward.correctness.use=exact_match",
    "eval.samples=4",
    "eval.temperature=1.0",
    "eval.max_new_tokens=200",
)


@dataclass(frozen=True)
class Trained:
    """A run whose model is trained last in `run`, after `before` tokens were sampled elsewhere."""

    run: Path
    before: int = 0
    traces: int = 0
    """Rows that a search or a sampling has given SFT."""

    @property
    def tokens(self) -> int:
        return self.before + costs_of(self.run)[-1]

    def at(self, budget: int, heldout: tuple[str, ...]) -> Arm:
        """The held-out answers of the model that had sampled so many tokens in all."""
        return evaluated(cut_at(self.run, budget - self.before), heldout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()

    evaluating = [word for word in arguments.set if word.startswith(("data.heldout", "eval."))]
    arms: dict[str, list[Arm]] = {}
    lines = [
        "| arm | seed | new traces | sampled, thousands | greedy | sampled | tokens | goes back |",
        "|---" * 8 + "|",
    ]
    for seed in range(arguments.seeds):
        runs = _trained(arguments.out / str(seed), (f"seed={seed}", *_COMMON, *arguments.set))
        budget = min(run.tokens for run in runs.values())
        for name, run in runs.items():
            arm = run.at(budget, (*_HELDOUT, *evaluating))
            arms.setdefault(name, []).append(arm)
            lines.append(f"| {name} | {seed} | {run.traces} | {budget / 1000:.0f} | {_row(arm)} |")

    print("\n".join(lines))
    if arguments.seeds > 1:
        print("\n" + _differences(arms))


def _trained(folder: Path, overrides: tuple[str, ...]) -> dict[str, Trained]:
    """The runs of a seed."""
    found = {}
    for name, changes in _ROUNDS.items():
        if not (folder / name / "report.html").exists():
            run_rlsp("run", _RECIPE, *overrides, *changes, out=folder / name)
        numbers = _numbers(folder / name)
        before = costs_of(folder / name / "round-0")[-1] + numbers["tokens"]
        found[name] = Trained(folder / name / "round-1", before, numbers["new"])

    run = folder / _PPO
    if not (run / "ppo" / "checkpoints" / "final").exists():
        costs = costs_of(folder / "search" / "round-0")
        steps = math.ceil(_SPARE * found["search"].tokens / statistics.fmean(costs_per_step(costs)))
        more = ("rounds=null", "eval=null", f"ppo.steps={steps}")
        run_rlsp("run", _RECIPE, *overrides, *more, out=run)
    return {**found, _PPO: Trained(run)}


def costs_per_step(costs: list[int]) -> list[int]:
    return [after - before for before, after in zip([0, *costs], costs, strict=False)]


def _numbers(run: Path) -> dict[str, int]:
    file = run / "round-1" / "traces" / "numbers.json"
    found: dict[str, int] = json.loads(file.read_text())["data"]
    return found


def _row(arm: Arm) -> str:
    """Accuracies, mean tokens, and the share of sampled responses with words of going back."""
    accuracy = [statistics.fmean(arm.accuracy(kind).values()) for kind in ("greedy", "sample")]
    answers = arm.answers("sample")
    tokens = statistics.fmean(row["num_tokens"] for row in answers)

    words = [phrase.partition("{step}")[0].strip() for phrase in Returns().phrases]
    back = statistics.fmean(any(word in row["response"] for word in words) for row in answers)
    return f"{accuracy[0]:.3f} | {accuracy[1]:.3f} | {tokens:.1f} | {back:.2f}"


def _differences(arms: dict[str, list[Arm]]) -> str:
    lines = ["| accuracy | difference | 95% interval |", "|---|---|---|"]
    for kind in ("greedy", "sample"):
        for name in ("sampled", _PPO):
            words = f"{kind}, search - {name}"
            lines.append(difference_row(words, arms[name], arms["search"], kind))
    return "\n".join(lines)


if __name__ == "__main__":
    main()
