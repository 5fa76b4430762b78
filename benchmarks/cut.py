"""PPO runs of different length, cut where they have sampled as many tokens, for the benchmarks beside it."""

from dataclasses import dataclass
from pathlib import Path

from exploration import Arm, rows_of, run_rlsp


@dataclass(frozen=True)
class Cut:
    """A run up to a step, and the tokens that it sampled until then."""

    run: Path
    step: int
    tokens: int

    @property
    def model(self) -> Path:
        return self.run / "ppo" / "checkpoints" / f"model-{self.step:06d}"


def cut_at(run: Path, budget: int) -> Cut:
    """The step whose cost is nearest to the budget."""
    costs = costs_of(run)
    step = min(range(len(costs)), key=lambda step: abs(costs[step] - budget))
    return Cut(run, step + 1, costs[step])


def costs_of(run: Path) -> list[int]:
    """Tokens that were sampled until the end of each step; none of a run that has not begun."""
    costs, spent = [], 0
    metrics = run / "ppo" / "metrics.jsonl"
    for row in rows_of(metrics) if metrics.exists() else ():
        spent += row["tokens"]
        costs.append(spent)
    return costs


def evaluated(cut: Cut, overrides: tuple[str, ...]) -> Arm:
    """The answers of a cut's model to the held-out problems; those that are there are not asked again."""
    # `Arm` looks for the answers beside the run, in the folder of this name.
    run = cut.run.with_name(f"{cut.run.name}-{cut.step}")
    evaluation = run.with_name(f"{run.name}-eval")
    if not (evaluation / "report.html").exists():
        run_rlsp("eval", str(cut.model), "--bench", "heldout", *overrides, out=evaluation)
    return Arm(run, f"ppo-{cut.step}")
