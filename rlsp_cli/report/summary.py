"""Run folder -> Report: plain numbers, read back from the files; nothing is computed that the files do not hold."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rlsp_cli.errors import DataError, RlspError
from rlsp_cli.evals.overlap import Contamination, contamination_notes
from rlsp_cli.report.behaviour import Group
from rlsp_cli.report.evaluation import evaluation_tables, strategies
from rlsp_cli.report.outcome import outcome
from rlsp_cli.report.table import Table, difference_table, eval_table, ppo_table
from rlsp_cli.rewards.alarms import alarms
from rlsp_cli.runs.run import open_run
from rlsp_cli.runs.shapes import Manifest, Metrics, Results
from rlsp_cli.runs.stream import read_json, read_rows


@dataclass(frozen=True)
class Report:
    """What a run came to. `notes` are sentences that ask the reader to look at something."""

    name: str
    root: str
    manifest: dict[str, Any]
    status: dict[str, Any]
    sft: list[dict[str, Any]] = field(default_factory=list)
    ppo: list[dict[str, Any]] = field(default_factory=list)
    evaluation: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    behaviour: list[Group] = field(default_factory=list)

    @property
    def outcome(self) -> list[str]:
        """What came out, a sentence for each bench."""
        return outcome(self.evaluation)

    @property
    def tables(self) -> list[Table]:
        """The tables that there is data for."""
        tables = [eval_table(self.evaluation), difference_table(self.evaluation)]
        tables += [*evaluation_tables(self.evaluation), ppo_table(self.ppo)]
        return [table.without_blanks() for table in tables if table.rows]

    def to_json(self) -> dict[str, Any]:
        """Plain data for report.json; `benches` has the score cards when one model was evaluated."""
        return {**asdict(self), "outcome": self.outcome, "benches": self.evaluation.get("benches", {})}


def summarise_run(root: Path) -> Report:
    """Read a run folder; parts that are not there yet are empty. UsageError when it is no run."""
    run = open_run(root)
    paths = run.paths
    ppo = list(read_rows(paths.stage("ppo").metrics, Metrics))
    results = paths.stage("eval").results
    evaluation = read_json(results, Results)["data"] if results.exists() else {}
    with _reading(results):
        remarks = bench_notes(evaluation) + curve_notes(evaluation) + strategy_notes(evaluation)
        report = Report(
            name=run.recipe.name,
            root=str(paths.root),
            manifest=read_json(paths.manifest, Manifest),
            status=run.status(),
            sft=list(read_rows(paths.stage("sft").metrics, Metrics)),
            ppo=ppo,
            evaluation=evaluation,
            notes=notes(ppo) + remarks,
        )
        _ = report.tables, report.outcome  # whoever shows them need not ask whether they can be made
    return report


@contextmanager
def _reading(results: Path) -> Iterator[None]:
    """What cannot be read of an evaluation was written by another version, or changed: DataError with its file."""
    try:
        yield
    except RlspError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        what = f"holds other results than this version writes ({type(error).__name__}: {error})"
        raise DataError(f"{results}: {what}; move it away, and --resume writes it anew") from error


def notes(ppo: list[dict[str, Any]]) -> list[str]:
    """Where to look: unscored components with their counts, and the alarms."""
    failed = {k: sum(row.get(f"outcome/{k}", 0) for row in ppo) for k in ("error", "timeout", "abstain")}
    counts = ", ".join(f"{int(n)} {kind}" for kind, n in failed.items() if n)
    unscored = [f"reward components without a value: {counts}"] if counts else []
    return unscored + [alarm.text for alarm in alarms(ppo)]


def bench_notes(evaluation: dict[str, Any]) -> list[str]:
    """What keeps a number from being compared: other problems than the bench's, and what is not as in the protocol."""
    made = {
        bench: result.get("protocol", {})
        for model in evaluation.get("models", {}).values()
        for bench, result in model["benches"].items()
    }
    changed = [
        f"{bench}: {how['source']} holds other problems than the bench; do not compare"
        for bench, how in made.items()
        if how.get("bench_changed")
    ]
    differs = [
        f"{bench} is not quite as {how['like']} has it: {line}"
        for bench, how in made.items()
        for line in how.get("differs", ())
    ]
    contamination = {
        bench: {role: Contamination.from_json(found) for role, found in sets.items()}
        for bench, sets in evaluation.get("contaminated", {}).items()
    }
    return changed + contamination_notes(contamination) + differs


def curve_notes(evaluation: dict[str, Any]) -> list[str]:
    """Where pass@k and maj@k end early, because some problems have too few scored responses."""
    return [
        f"{bench}, {model}: no pass@k and maj@k of {', '.join(map(str, short['k']))} responses: {short['problems']} of "
        f"{part['problems']} problems have fewer scored ones, {short['first']!r} has {short['responses']}"
        for model, result in evaluation.get("models", {}).items()
        for bench, kinds in result["benches"].items()
        for part in kinds.values()
        if isinstance(part, dict) and (short := part.get("k_missing"))
    ]


def strategy_notes(evaluation: dict[str, Any]) -> list[str]:
    """What test-time strategies could not be computed from these responses, and why."""
    return [f"{bench}: {line}" for _, bench, found in strategies(evaluation) for line in found["missing"]]
