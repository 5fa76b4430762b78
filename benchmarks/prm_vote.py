"""Is a process reward model worth its tokens? Best-of-n and weighted votes against self-consistency.

The quickstart's SFT model of each seed answers held-out problems, and the process reward model of
`benchmarks/prm.py` scores the steps of its responses. What self-consistency of a few responses
costs is the budget of each problem: best-of-n and weighted votes get as many responses as it pays
for, the tokens that the scorer read included. What is in --out already is not run again.
"""

import argparse
import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from exploration import difference, run_rlsp

from rlsp_cli.evals.answer import SAMPLE, Key, read_scored
from rlsp_cli.evals.metrics import of_kind
from rlsp_cli.evals.metrics.vote import votes
from rlsp_cli.evals.strategies import STRATEGIES, Candidate
from rlsp_cli.evals.strategies.token_budget import Outcome, choose, choose_within
from rlsp_cli.rewards.sample import Score

_HELDOUT = (
    "data.heldout={source: 'task:pair_sum', split: test, rows: 200, options: {largest: 12}}",
    "reward.correctness.use=exact_match",
    "eval.samples=16",
    "eval.greedy=false",
    "eval.temperature=1.0",
    "eval.max_new_tokens=128",
    "eval.strategies=[best_of_n,weighted_vote]",
)
_FREE = "self_consistency"
_SCORED = ("best_of_n", "weighted_vote")
_VOTES = (2, 4, 8)
"""Responses of self-consistency, whose tokens are the budget."""


@dataclass(frozen=True)
class Chosen:
    """What a strategy came to on each problem."""

    outcomes: dict[str, Outcome]

    def accuracy(self, kind: str = SAMPLE) -> dict[str, float]:
        """Of each problem, as `exploration.difference` asks for it."""
        return {problem: outcome.accuracy for problem, outcome in self.outcomes.items()}

    @property
    def mean(self) -> float:
        """Over the problems."""
        return statistics.fmean(self.accuracy().values())

    @property
    def responses(self) -> float:
        """Mean number of responses to a problem."""
        return statistics.fmean(outcome.responses for outcome in self.outcomes.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sft", type=Path, required=True, help="SEED/sft: the quickstart's models")
    parser.add_argument("--prm", type=Path, required=True, help="--out of benchmarks/prm.py")
    parser.add_argument("--aggregate", default="min")
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()

    seeds = []
    for seed in range(given.seeds):
        policy = given.sft / str(seed) / "sft" / "sft" / "checkpoints" / "final"
        prm = given.prm / str(seed) / "prm" / "sft" / "checkpoints" / "final"
        seeds.append(_candidates(given.out / str(seed), policy, prm, given.aggregate))
    print(_table(seeds))


def _candidates(run: Path, policy: Path, prm: Path, aggregate: str) -> dict[str, list[Candidate]]:
    """The scored responses to each problem."""
    if not (run / "report.html").exists():
        steps = f"{{by: sentences, aggregate: {aggregate}}}"
        scorer = f"eval.scorer={{use: prm, model: prm, steps: {steps}}}"
        models = f"models={{prm: {{path: {prm}}}}}"
        run_rlsp("eval", str(policy), "--bench", "heldout", *_HELDOUT, scorer, models, out=run)

    (samples,) = run.glob("eval/*/heldout/samples.jsonl")
    scores: dict[Key, Score] = {}
    for line in samples.with_name("scores.jsonl").read_text().splitlines():
        row = json.loads(line)
        scores[row["id"], row["kind"], row["index"]] = Score.from_row(row)

    found = {}
    rows = sorted(of_kind(read_scored(samples), SAMPLE), key=lambda row: row.index)
    for problem, several in votes(rows).items():
        found[problem] = [
            Candidate(
                row.response,
                answer,
                row.right,
                row.num_tokens,
                scores[row.key].value,
                scorer_tokens=scores[row.key].tokens,
            )
            for row, answer in several
        ]
    return found


def _table(seeds: Sequence[dict[str, list[Candidate]]]) -> str:
    lines = [
        "| budget: votes | strategy | responses | accuracy by seed | difference | 95% interval |",
        "|---|---|---|---|---|---|",
    ]
    for count in _VOTES:
        base = [_first(problems, count) for problems in seeds]
        lines.append(_line(count, _FREE, base, None))
        for name in _SCORED:
            others = [
                _within(problems, of_seed, name)
                for problems, of_seed in zip(seeds, base, strict=True)
            ]
            lines.append(_line(count, name, others, base))
    return "\n".join(lines)


def _first(problems: dict[str, list[Candidate]], count: int) -> Chosen:
    strategy = STRATEGIES[_FREE]
    return Chosen({id: choose(several[:count], strategy) for id, several in problems.items()})


def _within(problems: dict[str, list[Candidate]], base: Chosen, name: str) -> Chosen:
    """The strategy with the tokens that `base` cost on each problem."""
    budgets = {id: outcome.tokens or 0.0 for id, outcome in base.outcomes.items()}
    strategy = STRATEGIES[name]
    return Chosen(
        {id: choose_within(several, budgets[id], strategy) for id, several in problems.items()}
    )


def _line(count: int, name: str, chosen: list[Chosen], base: list[Chosen] | None) -> str:
    responses = statistics.fmean(one.responses for one in chosen)
    accuracies = ", ".join(f"{one.mean:.3f}" for one in chosen)
    moved = " | "
    if base is not None:
        mean, half = difference(base, chosen, SAMPLE)
        moved = f"{mean:+.3f} | {mean - half:+.3f} to {mean + half:+.3f}"
    return f"| {count} | {name} | {responses:.1f} | {accuracies} | {moved} |"


if __name__ == "__main__":
    main()
