"""Run folder -> Report: the numbers in the run's files, read back."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from rlsp_cli.errors import DataError
from rlsp_cli.evals.behaviour import Group
from rlsp_cli.evals.overlap import contamination_notes
from rlsp_cli.evals.provenance import Provenance
from rlsp_cli.evals.results import Results
from rlsp_cli.evals.score_card import ScoreCard, score_cards
from rlsp_cli.report.accuracy import best_of_sweep, sweep_points, sweep_table
from rlsp_cli.report.evaluation import (
    accuracy_over_steps,
    difference_table,
    eval_table,
    evaluation_tables,
    parts_of,
    strategies,
)
from rlsp_cli.report.outcome import outcome
from rlsp_cli.report.reward_vs_eval import (
    RewardVsEval,
    reward_vs_eval,
    reward_vs_eval_table,
    training_steps,
)
from rlsp_cli.report.rounds import chosen_round, round_notes, rounds_table
from rlsp_cli.report.step import steps_of
from rlsp_cli.report.table import Table, ppo_table
from rlsp_cli.rewards.alarms import alarms
from rlsp_cli.runs import shapes
from rlsp_cli.runs.rounds import RoundsResult, read_rounds
from rlsp_cli.runs.run import open_run
from rlsp_cli.runs.shapes import Manifest, Status
from rlsp_cli.runs.stream import read_json, read_rows


@dataclass(frozen=True)
class Report:
    """What a run came to.

    `sft` and `ppo` are rows of metrics.jsonl; `notes` are sentences that ask for attention.
    """

    name: str
    root: str
    manifest: dict[str, Any]
    status: Status
    sft: list[dict[str, Any]] = field(default_factory=list)
    ppo: list[dict[str, Any]] = field(default_factory=list)
    evaluation: Results = field(default_factory=Results)
    notes: list[str] = field(default_factory=list)
    behaviour: list[Group] = field(default_factory=list)
    reward_vs_eval: list[RewardVsEval] = field(default_factory=list)
    rounds: RoundsResult | None = None

    @property
    def outcome(self) -> list[str]:
        """What came out, a sentence for each bench; of rounds, which is chosen and how it does."""
        if best := list(best_of_sweep(self.evaluation)):
            return best
        if self.rounds is None:
            return outcome(self.evaluation)

        # The last round need not be the one that counts.
        chosen = {self.rounds.chosen: self.evaluation.models[self.rounds.chosen]}
        alone = replace(self.evaluation, models=chosen, comparisons=())
        return [chosen_round(self.rounds), *outcome(alone)]

    @property
    def score_cards(self) -> dict[str, ScoreCard]:
        """By bench, if one model was evaluated."""
        return score_cards(self.evaluation)

    @property
    def tables(self) -> list[Table]:
        """The tables that there is data for."""
        tables = [rounds_table(self.rounds), sweep_table(self.evaluation)]
        tables.append(eval_table(self.evaluation))
        tables.append(difference_table(self.evaluation.comparisons))
        tables += [*evaluation_tables(self.evaluation), ppo_table(steps_of(self.ppo))]
        tables.append(reward_vs_eval_table(self.reward_vs_eval))
        return [table.without_blanks() for table in tables if table.rows]

    def to_json(self) -> dict[str, Any]:
        """Plain data for report.json; `benches` has the score cards if there is one model."""
        plain = {
            "name": self.name,
            "root": self.root,
            "manifest": self.manifest,
            "status": self.status.model_dump(),
            "sft": self.sft,
            "ppo": self.ppo,
            "notes": self.notes,
            "behaviour": [group.to_json() for group in self.behaviour],
            "reward_vs_eval": [one.to_json() for one in self.reward_vs_eval],
            "rounds": asdict(self.rounds) if self.rounds else None,
            "sweep": [point.to_json() for point in sweep_points(self.evaluation)],
        }
        # Also at the top, where scripts look that want one number.
        cards = {bench: card.to_json() for bench, card in self.score_cards.items()}
        evaluation: dict[str, Any] = {}
        if self.evaluation.models:
            evaluation = {**self.evaluation.to_json(), "benches": cards}

        return {**plain, "evaluation": evaluation, "outcome": self.outcome, "benches": cards}


def summarise_run(root: Path) -> Report:
    """Read a run folder; parts that are not there yet are empty. UsageError if it is no run."""
    run = open_run(root)
    paths = run.paths

    ppo = list(read_rows(paths.stage("ppo").metrics, shapes.MetricsRow))
    evaluation = read_results(paths.stage("eval").results)

    # The models of a training's steps are evaluated in a run of their own.
    checkpoints = run.recipe.eval.checkpoints if run.recipe.eval else {}
    trained = reward_vs_eval(training_steps(checkpoints), accuracy_over_steps(evaluation))

    remarks = [*bench_notes(evaluation), *curve_notes(evaluation), *strategy_notes(evaluation)]
    remarks += [one.warning for one in trained if one.warning]
    rounds = read_rounds(paths.root)
    return Report(
        name=run.recipe.name,
        root=str(paths.root),
        manifest=read_json(paths.manifest, Manifest),
        status=run.status(),
        sft=list(read_rows(paths.stage("sft").metrics, shapes.MetricsRow)),
        ppo=ppo,
        evaluation=evaluation,
        notes=[*round_notes(rounds), *notes(ppo), *remarks],
        reward_vs_eval=trained,
        rounds=rounds,
    )


def read_results(path: Path) -> Results:
    """results.json, or empty results; DataError if another version wrote it, or it is damaged."""
    if not path.exists():
        return Results()

    data = read_json(path, shapes.ResultsDocument)["data"]
    try:
        return Results.from_json(data)
    except ValueError as error:
        what = f"holds other results than this version writes ({error})"
        raise DataError(f"{path}: {what}; move it away, and --resume writes it anew") from error


def notes(ppo: list[dict[str, Any]]) -> list[str]:
    """Counts of unscored components, and the alarms."""
    counts = []
    for kind in ("error", "timeout", "abstain"):
        n = sum(row.get(f"outcome/{kind}", 0) for row in ppo)
        if n:
            counts.append(f"{int(n)} {kind}")

    unscored = [f"reward components without a value: {', '.join(counts)}"] if counts else []
    return unscored + [alarm.text for alarm in alarms(ppo)]


def bench_notes(evaluation: Results) -> list[str]:
    """Why a number may not be compared: changed or copied problems, departures from a protocol."""
    # What a later model says of a bench holds: all models of a run are asked alike.
    made: dict[str, Provenance] = {}
    for model in evaluation.models.values():
        made |= {bench: result.protocol for bench, result in model.benches.items()}

    changed, differs = [], []
    for bench, protocol in made.items():
        if protocol.bench_changed:
            changed.append(
                f"{bench}: {protocol.source} holds other problems than the bench; do not compare"
            )
        differs += [
            f"{bench} is not quite as {protocol.like} has it: {line}" for line in protocol.differs
        ]
    return changed + contamination_notes(evaluation.contaminated) + differs


def curve_notes(evaluation: Results) -> Iterator[str]:
    """The k without pass@k and maj@k, because some problems have fewer scored responses."""
    for part in parts_of(evaluation):
        missing = part.metrics.k_missing
        if missing is None:
            continue

        ks = ", ".join(map(str, missing.k))
        yield (
            f"{part.bench}, {part.model}: no pass@k and maj@k of {ks} responses: "
            f"{missing.problems} of {part.metrics.problems} problems have fewer scored ones, "
            f"{missing.first!r} has {missing.responses}"
        )


def strategy_notes(evaluation: Results) -> Iterator[str]:
    """The test-time strategies that could not be computed from these responses, and why."""
    for _, bench, table in strategies(evaluation):
        for line in table.missing:
            yield f"{bench}: {line}"
