"""What an ablation came to: a table of its arms beside the baseline, and notes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, get_args

from rlsp_cli.ablate.ablation import Ablation, ArmRun
from rlsp_cli.ablate.comparison import (
    ArmResult,
    Evaluated,
    compare_arms,
    evaluated,
    protocol_notes,
)
from rlsp_cli.ablate.cost import Cost, cost_of
from rlsp_cli.child.cause import last_error
from rlsp_cli.evals.statistics import MOST_SEEDS, SeedsDifference
from rlsp_cli.evals.statistics.difference import Verdict
from rlsp_cli.report.cells import NOTHING, number_cell, percent_cell, points_cell
from rlsp_cli.report.evaluation import KINDS
from rlsp_cli.report.table import Table
from rlsp_cli.rewards.alarms import alarms
from rlsp_cli.runs import shapes
from rlsp_cli.runs.stream import read_rows


@dataclass(frozen=True)
class AblationReport:
    """Results and costs by arm; `unfinished` says by run why it is not done."""

    name: str
    root: str
    baseline: str
    seeds: tuple[int, ...]
    results: Sequence[ArmResult]
    costs: Mapping[str, Cost]
    notes: Sequence[str]
    unfinished: Mapping[str, str]

    @property
    def table(self) -> Table:
        """A row for each bench, decoding and arm; the arm first, which a narrow page keeps in view."""
        rows = [_row(result, self.costs[result.arm]) for result in self.results]
        columns = ["setting", "bench", "decoding", "accuracy %", "minus baseline (95%)", "verdict"]
        columns += ["seeds", "seeds needed", "tokens, thousands", "minutes"]
        return Table(f"Settings beside {self.baseline}", columns, rows, keys=3)

    @property
    def outcome(self) -> list[str]:
        """A sentence for each bench and decoding: how many settings are better or worse."""
        found: dict[str, list[ArmResult]] = {}
        for result in self.results:
            found.setdefault(f"{result.bench}, {KINDS[result.kind]}", []).append(result)
        return [_sentence(part, results) for part, results in found.items()]

    @property
    def reasons(self) -> list[str]:
        """A line for each run that is not done."""
        return [f"{name}: {reason}" for name, reason in self.unfinished.items()]

    def to_markdown(self) -> str:
        """The table with its title, and what is to be known of it."""
        lines = "".join(f"- {line}\n" for line in (*self.reasons, *self.notes))
        return f"**{self.table.title}**\n\n{self.table.to_markdown()}" + (lines and f"\n{lines}")

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            **asdict(self),
            "outcome": self.outcome,
            "results": [result.to_json() for result in self.results],
            "costs": {arm: asdict(cost) for arm, cost in self.costs.items()},
        }


def summarise_ablation(ablation: Ablation) -> AblationReport:
    """Read the runs of an ablation; those that are not done are named, and left out."""
    runs = ablation.runs
    found: dict[str, dict[int, Evaluated]] = {arm.name: {} for arm in ablation.design.arms}
    for one in runs:
        if one.is_done:
            found[one.arm][one.seed] = evaluated(one.run.paths.root)

    done = {arm: [one.run for one in runs if one.arm == arm and one.is_done] for arm in found}
    return AblationReport(
        name=ablation.design.recipe.name,
        root=str(ablation.paths.root),
        baseline=ablation.design.baseline,
        seeds=tuple(ablation.design.seeds),
        results=compare_arms(found, ablation.design.baseline),
        costs={arm: cost_of(own) for arm, own in done.items()},
        notes=[*_seed_notes(ablation), *protocol_notes(found), *_alarm_notes(runs)],
        unfinished={one.name: _why(one) for one in runs if not one.is_done},
    )


def _sentence(part: str, results: Sequence[ArmResult]) -> str:
    verdicts = [one.moved.verdict for one in results if one.moved is not None]
    counts = [f"{verdicts.count(word)} {word}" for word in get_args(Verdict) if word in verdicts]
    return f"{part}: {', '.join(counts) or 'nothing to compare'}"


def _row(result: ArmResult, cost: Cost) -> list[str]:
    minutes = None if cost.seconds is None else cost.seconds / 60
    thousands = None if cost.tokens is None else cost.tokens / 1000
    return [
        result.arm,
        result.bench,
        KINDS[result.kind],
        percent_cell(result.accuracy),
        *_moved(result.moved),
        str(result.seeds),
        _needed(result.moved),
        number_cell(thousands),
        number_cell(minutes, 1),
    ]


def _moved(moved: SeedsDifference | None) -> tuple[str, str]:
    """The difference with its interval, and the verdict."""
    if moved is None:
        return NOTHING, NOTHING
    if moved.low is None or moved.high is None:
        return f"{100 * moved.difference:+.1f}", NOTHING
    return points_cell(moved.difference, moved.low, moved.high), moved.verdict or NOTHING


def _needed(moved: SeedsDifference | None) -> str:
    if moved is None or not moved.difference or moved.verdict is None:
        return NOTHING
    return f"> {MOST_SEEDS}" if moved.seeds_needed is None else str(moved.seeds_needed)


def _seed_notes(ablation: Ablation) -> Iterator[str]:
    if len(ablation.design.seeds) < 2:
        yield "one seed has no interval: nothing is known of other seeds; add --seeds 5 --resume"


def _alarm_notes(runs: Sequence[ArmRun]) -> list[str]:
    """Each kind of alarm once for each arm, with the first seed that has it."""
    seen: dict[tuple[str, str], str] = {}
    for one in runs:
        rows = list(read_rows(one.run.paths.stage("ppo").metrics, shapes.MetricsRow))
        for alarm in alarms(rows):
            seen.setdefault((one.arm, alarm.kind), f"{one.name}: {alarm.text}")
    return list(seen.values())


def _why(one: ArmRun) -> str:
    """Why a run is not done."""
    status = one.run.status()
    if status.message:
        return f"{status.state} in {status.stage}: {status.message}"
    if one.sft_of is not None and not one.sft_of.has_sft:
        return f"not run: the SFT of {one.sft_of.name} is not done"

    # A process that was killed, or refused the run, has told its log alone.
    text = one.log.read_text(encoding="utf-8", errors="replace") if one.log.exists() else ""
    return f"not finished: {last_error(text)}" if text else "not run yet"
