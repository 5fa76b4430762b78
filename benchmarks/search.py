"""Is search worth its tokens? Every policy beside votes, best-of-n, RPC and budget forcing.

One run for each seed draws responses, greedy, sampled and forced; another one searches by each
policy, at two or more sizes. Each search, and budget forcing, is compared with the strategies that
choose among the sampled responses, which get as many of them to each problem as the tokens pay for
that it spent there, those of the scorer's models included. What is in --out already is not run
again.

By default the model is that of the quickstart's SFT, and the scorer that of recipes/pair_sum_steps.py.
--model and --bench name others, and --scorer a step scorer that suits them, as `{use: self}`.
"""

import argparse
import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exploration import difference, run_rlsp

from rlsp_cli.evals.answer import FORCED, GREEDY, SAMPLE, SEARCH, Key, Scored, read_scored
from rlsp_cli.evals.metrics import of_kind
from rlsp_cli.evals.metrics.vote import votes
from rlsp_cli.evals.strategies import STRATEGIES, Candidate
from rlsp_cli.evals.strategies.token_budget import Outcome, choose_within, single_answers
from rlsp_cli.rewards.sample import Score

_SCORER = Path(__file__).parents[1] / "recipes" / "pair_sum_steps.py"
_PAIR_SUM = (
    "data.heldout={source: 'task:pair_sum', split: test, rows: 200, options: {largest: 12}}",
    "reward.correctness.use=exact_match",
    "eval.max_new_tokens=128",
    "eval.temperature=1.0",
)
_CHOSEN = ("self_consistency", "best_of_n", "weighted_vote", "rpc")
_POLICIES = {
    "beam": "use: beam, beams: {few}, children: 4",
    "dvts": "use: dvts, subtrees: {few}, children: 4",
    "best_first": "use: best_first, children: 4, answers: {few}",
    "rebase": "use: rebase, width: {size}",
    "rebase, vote": "use: rebase, width: {size}, choose: weighted_vote",
    "particles": "use: particles, particles: {size}",
    "uct": "use: uct, iterations: {size}",
    "puct": "use: puct, iterations: {many}",
    "rest_mcts": "use: rest_mcts, iterations: {many}",
}
"""Each policy at a size: about as many responses as it may write, in parts or whole.

An iteration of the last two adds one step, and not a whole response.
"""


@dataclass(frozen=True)
class Setting:
    """What all runs share."""

    out: Path
    model: str
    more: tuple[str, ...]
    scorer: str
    by: str
    samples: int

    def drawn(self, seed: int) -> Path:
        """The folder of a seed's greedy, sampled and forced responses, with scores of the sampled."""
        run = self.out / str(seed) / "drawn"
        steps = f"steps: {{by: {self.by}, aggregate: mean}}"
        scorer = f"eval.scorer={self.scorer[:-1]}, {steps}}}"
        names = f"eval.strategies=[{','.join((*_CHOSEN, 'budget_forcing'))}]"
        return self._evaluated(run, seed, names, scorer, f"eval.samples={self.samples}")

    def searched(self, seed: int, policy: str, size: int) -> Path:
        """The folder of what a policy found."""
        run = self.out / str(seed) / f"{policy.replace(', ', '-')}-{size}"
        use = _POLICIES[policy].format(size=size, few=max(1, size // 4), many=4 * size)
        steps = f"steps: {{by: {self.by}, aggregate: mean}}, scorer: {self.scorer}"
        search = f"eval.search={{{use}, budget: 100000, {steps}}}"
        return self._evaluated(run, seed, "eval.strategies=[search]", search, "eval.samples=0")

    def _evaluated(self, run: Path, seed: int, *changes: str) -> Path:
        if not (run / "report.html").exists():
            run_rlsp("eval", self.model, *self.more, f"seed={seed}", *changes, out=run)
        (samples,) = run.glob("eval/*/*/samples.jsonl")
        return samples.parent


@dataclass(frozen=True)
class Chosen:
    """What a strategy came to on each problem."""

    outcomes: Mapping[str, Outcome]

    def accuracy(self, kind: str = SAMPLE) -> dict[str, float]:
        """Of each problem, as `exploration.difference` asks for it."""
        return {problem: outcome.accuracy for problem, outcome in self.outcomes.items()}

    @property
    def mean(self) -> float:
        return statistics.fmean(self.accuracy().values())

    @property
    def tokens(self) -> float:
        """Mean over the problems."""
        return statistics.fmean(outcome.tokens or 0.0 for outcome in self.outcomes.values())


def main() -> None:
    given = _arguments()
    more = tuple(given.change) if given.model else _PAIR_SUM
    setting = Setting(
        out=given.out,
        model=given.model or str(_quickstart(given.out / "sft")),
        more=("--bench", given.bench, *more),
        scorer=given.scorer,
        by=given.steps,
        samples=given.samples,
    )

    seeds = range(given.seeds)
    drawn = [setting.drawn(seed) for seed in seeds]
    sampled = [_candidates(folder) for folder in drawn]
    lines = [_HEAD]
    for name, kind in (("greedy", GREEDY), ("budget_forcing", FORCED)):
        lines.append(_line(name, [_single(folder, kind) for folder in drawn], sampled))

    for size in given.sizes:
        for policy in given.policies:
            folders = [setting.searched(seed, policy, size) for seed in seeds]
            found = [_single(folder, SEARCH) for folder in folders]
            lines.append(_line(f"{policy}, {size}", found, sampled))
    print("\n".join(lines))


def _arguments() -> argparse.Namespace:
    scorer = f"{{use: '{_SCORER}:sums', other: 0.5}}"
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", help="a folder or hub id instead of the quickstart's")
    parser.add_argument("--bench", default="heldout")
    parser.add_argument("--change", action="append", default=[], help="KEY=VALUE, with --model")
    parser.add_argument("--scorer", default=scorer, help="{use: NAME, OPTION: VALUE, ...}")
    parser.add_argument("--steps", default="sentences", help="eval.search.steps.by")
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--sizes", type=int, nargs="+", default=[4, 16])
    parser.add_argument("--policies", nargs="+", choices=_POLICIES, default=[*_POLICIES])
    parser.add_argument("--seeds", type=int, default=3)
    return parser.parse_args()


def _quickstart(run: Path) -> Path:
    """The quickstart's model after SFT."""
    model = run / "sft" / "checkpoints" / "final"
    if not model.exists():
        run_rlsp("sft", "quickstart", out=run)
    return model


def _single(folder: Path, kind: str) -> Chosen:
    found = single_answers(kind, list(read_scored(folder / "samples.jsonl")), [kind])
    assert found, f"{folder} has no {kind} responses"
    return Chosen(found.problems)


def _candidates(folder: Path) -> dict[str, list[Candidate]]:
    """The scored responses to each problem."""
    scores = dict(_scores(folder / "scores.jsonl"))
    rows = sorted(of_kind(read_scored(folder / "samples.jsonl"), SAMPLE), key=lambda row: row.index)
    return {
        problem: [_candidate(vote.row, vote.answer, scores[vote.row.key]) for vote in several]
        for problem, several in votes(rows).items()
    }


def _scores(file: Path) -> Iterator[tuple[Key, Score]]:
    for line in file.read_text().splitlines():
        row: dict[str, Any] = json.loads(line)
        yield (row["id"], row["kind"], row["index"]), Score.from_row(row)


def _candidate(row: Scored, answer: str | None, score: Score) -> Candidate:
    return Candidate(
        row.response,
        answer,
        row.right,
        row.num_tokens,
        score.value,
        row.likelihood,
        scorer_tokens=score.tokens,
    )


_HEAD = "\n".join(
    (
        "| strategy | tokens | accuracy by seed "
        + "".join(f"| minus {name}, same tokens (95%) " for name in _CHOSEN)
        + "|",
        "|---" * (3 + len(_CHOSEN)) + "|",
    )
)


def _line(
    name: str, found: Sequence[Chosen], sampled: Sequence[Mapping[str, Sequence[Candidate]]]
) -> str:
    accuracies = ", ".join(f"{one.mean:.3f}" for one in found)
    tokens = statistics.fmean(one.tokens for one in found)
    cells = [_against(strategy, found, sampled) for strategy in _CHOSEN]
    return f"| {name} | {tokens:.0f} | {accuracies} | {' | '.join(cells)} |"


def _against(
    strategy: str,
    found: Sequence[Chosen],
    sampled: Sequence[Mapping[str, Sequence[Candidate]]],
) -> str:
    """The difference from a strategy that spends the same tokens on each problem."""
    others = [
        _within(strategy, one, candidates) for one, candidates in zip(found, sampled, strict=True)
    ]
    short = sum(outcome.ran_out for one in others for outcome in one.outcomes.values())
    note = f", too few samples in {short}" if short else ""

    # One seed has no interval over seeds.
    if len(found) == 1:
        return f"{found[0].mean - others[0].mean:+.3f}{note}"
    mean, half = difference(others, found, SAMPLE)
    return f"{mean:+.3f} ({mean - half:+.3f} to {mean + half:+.3f}){note}"


def _within(strategy: str, found: Chosen, candidates: Mapping[str, Sequence[Candidate]]) -> Chosen:
    outcomes = {
        id: choose_within(candidates[id], outcome.tokens or 0.0, STRATEGIES[strategy])
        for id, outcome in found.outcomes.items()
    }
    return Chosen(outcomes)


if __name__ == "__main__":
    main()
