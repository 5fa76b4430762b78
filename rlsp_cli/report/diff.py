"""What differs between two runs: recipe, versions and data first, then scores and curves."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from rlsp_cli.errors import UsageError
from rlsp_cli.evals.results import Results
from rlsp_cli.evals.statistics import Estimate
from rlsp_cli.recipe.source import read_source
from rlsp_cli.recipe.tree import leaves
from rlsp_cli.report.cells import NOTHING, share_cell
from rlsp_cli.report.evaluation import KINDS, parts_of
from rlsp_cli.report.step import Step, keys_of, steps_of
from rlsp_cli.report.summary import read_results
from rlsp_cli.report.table import Table
from rlsp_cli.runs.paths import RunPaths
from rlsp_cli.runs.shapes import Manifest, MetricsRow
from rlsp_cli.runs.stream import read_json, read_rows

_TRAINING = ("sft", "ppo")
_MEASURED_TIME = "time/*"
"""Metrics of the machine, which no two runs share."""
_SHOWN = (
    *("loss", "eval_loss", "loss/policy", "correctness/mean", "exploration/*/mean"),
    *("response/tokens", "response/truncated", "kl/response", "heldout/*"),
)
"""Curves that the table has; `--json` has all."""
_DIGEST_SHOWN = 12


@dataclass(frozen=True)
class Change:
    """A value of one run and of the other; None where a run has none."""

    key: str
    before: Any
    after: Any


@dataclass(frozen=True)
class ScoreChange:
    """The accuracy of a model on a bench in both runs, with 95% intervals over problems."""

    model: str
    bench: str
    decoding: str
    before: Estimate | None
    after: Estimate | None

    @property
    def is_equal(self) -> bool:
        """Whether both numbers are there and the same to the last digit."""
        return self.before is not None and self.before == self.after

    @property
    def points(self) -> float | None:
        """After minus before, in points of percent."""
        if self.before is None or self.after is None:
            return None
        return 100 * (self.after.value - self.before.value)


@dataclass(frozen=True)
class CurveChange:
    """A metric over the steps of a stage in both runs, in a few numbers.

    `first` is the first step, counted from 1, at which they differ; None if they are equal to the
    last digit.
    """

    stage: str
    key: str
    steps: tuple[int, int]
    last: tuple[float | None, float | None]
    mean: tuple[float | None, float | None]
    first: int | None


@dataclass(frozen=True)
class RunDiff:
    """What differs between two runs, causes before effects; scores and curves are all there."""

    recipe: Sequence[Change]
    versions: Sequence[Change]
    data: Sequence[Change]
    scores: Sequence[ScoreChange]
    curves: Sequence[CurveChange]

    @property
    def tables(self) -> list[Table]:
        """The tables with rows."""
        tables = [
            _change_table("Recipe", self.recipe),
            _change_table("Versions, plugins and machine", self.versions),
            _change_table("Data", self.data),
            *self.metric_tables,
        ]
        return [table for table in tables if table.rows]

    @property
    def metric_tables(self) -> list[Table]:
        """The tables of scores and curves."""
        shown = [c for c in self.curves if any(fnmatch(c.key, key) for key in _SHOWN)]
        return [_score_table(self.scores), _curve_table(shown)]

    @property
    def outcome(self) -> list[str]:
        """Whether the metrics are equal, a line for scores and one for curves."""
        lines = []
        if self.scores:
            equal = sum(score.is_equal for score in self.scores)
            lines.append(f"{equal} of {len(self.scores)} scores are equal to the last digit")
        if self.curves:
            equal = sum(curve.first is None for curve in self.curves)
            lines.append(f"{equal} of {len(self.curves)} curves are equal to the last digit")
        return lines or ["neither run has metrics"]

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def diff_runs(before: Path, after: Path) -> RunDiff:
    """Compare two run folders; no plugin is loaded. UsageError if one is no run folder."""
    a, b = _paths(before), _paths(after)
    one, other = (read_json(paths.manifest, Manifest) for paths in (a, b))
    results = (read_results(paths.stage("eval").results) for paths in (a, b))
    return RunDiff(
        recipe=_changes(_recipe(a), _recipe(b)),
        versions=_changes(_versions(one), _versions(other)),
        data=_changes(_data(one), _data(other)),
        scores=list(_scores(*results)),
        curves=list(_curves(a, b)),
    )


def _paths(root: Path) -> RunPaths:
    paths = RunPaths(root)
    if not (paths.manifest.exists() and paths.resolved.exists()):
        raise UsageError(f"{root}: not a run folder; `rlsp runs list` shows the runs")
    return paths


def _recipe(paths: RunPaths) -> dict[str, Any]:
    # As data: to validate it would load its plugins, which may be gone.
    return dict(leaves(read_source(paths.resolved).data))


def _versions(manifest: Mapping[str, Any]) -> dict[str, Any]:
    plugins = {f"{one['kind']} {one['name']}": one["digest"] for one in manifest["plugins"]}
    return {**manifest["versions"], **plugins, **manifest.get("machine", {})}


def _data(manifest: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for entry in manifest["data"]:
        fingerprint = entry["digest"] or "no file"
        found[f"{entry['role']} {len(found)}"] = f"{entry['source']} {fingerprint}"
    return found


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    found = []
    for key in {**before, **after}:
        if key != "description" and before.get(key) != after.get(key):
            found.append(Change(key, before.get(key), after.get(key)))
    return found


def _scores(before: Results, after: Results) -> Iterator[ScoreChange]:
    a, b = _accuracies(before), _accuracies(after)
    for place in {**a, **b}:
        yield ScoreChange(*place, a.get(place), b.get(place))


def _accuracies(results: Results) -> dict[tuple[str, str, str], Estimate | None]:
    found: dict[tuple[str, str, str], Estimate | None] = {}
    for part in parts_of(results):
        found[part.model, part.bench, KINDS[part.kind]] = part.metrics.accuracy
    return found


def _curves(a: RunPaths, b: RunPaths) -> Iterator[CurveChange]:
    for stage in _TRAINING:
        before, after = _steps(a, stage), _steps(b, stage)
        for key in dict.fromkeys([*keys_of(before), *keys_of(after)]):
            if not fnmatch(key, _MEASURED_TIME):
                yield _curve(stage, key, before, after)


def _steps(paths: RunPaths, stage: str) -> list[Step]:
    return steps_of(read_rows(paths.stage(stage).metrics, MetricsRow))


def _curve(stage: str, key: str, before: Sequence[Step], after: Sequence[Step]) -> CurveChange:
    a, b = _values(before, key), _values(after, key)
    differ = [step for step in sorted({*a, *b}) if a.get(step) != b.get(step)]
    last = _last(a), _last(b)
    mean = _mean(a), _mean(b)
    return CurveChange(stage, key, (len(a), len(b)), last, mean, differ[0] if differ else None)


def _values(steps: Sequence[Step], key: str) -> dict[int, float]:
    return {step.number: step.values[key] for step in steps if key in step.values}


def _last(values: Mapping[int, float]) -> float | None:
    return values[max(values)] if values else None


def _mean(values: Mapping[int, float]) -> float | None:
    return statistics.fmean(values.values()) if values else None


def _change_table(title: str, changes: Sequence[Change]) -> Table:
    rows = [[one.key, _value_cell(one.before), _value_cell(one.after)] for one in changes]
    return Table(title, ["key", "A", "B"], rows)


def _score_table(scores: Sequence[ScoreChange]) -> Table:
    rows = []
    for one in scores:
        place = [one.bench, one.decoding, one.model]
        rows.append([*place, share_cell(one.before), share_cell(one.after), _points(one)])
    columns = ["bench", "decoding", "model", "A: accuracy % (95%)", "B: accuracy % (95%)"]
    return Table("Scores", [*columns, "B - A, points"], rows, keys=3)


def _points(score: ScoreChange) -> str:
    if score.is_equal:
        return "equal"
    return NOTHING if score.points is None else f"{score.points:+.1f}"


def _curve_table(curves: Sequence[CurveChange]) -> Table:
    rows = []
    for one in curves:
        numbers = [_number_cell(value) for value in (*one.last, *one.mean)]
        steps = " / ".join(map(str, one.steps))
        since = "equal" if one.first is None else str(one.first)
        rows.append([one.stage, one.key, steps, *numbers, since])
    columns = ["stage", "metric", "steps", "A: last", "B: last", "A: mean", "B: mean"]
    return Table("Curves", [*columns, "differ from step"], rows, keys=2)


def _number_cell(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.4g}"


def _value_cell(value: Any) -> str:
    text = NOTHING if value is None else str(value)
    words = [word[:_DIGEST_SHOWN] if _is_digest(word) else word for word in text.split(" ")]
    return " ".join(words)


def _is_digest(word: str) -> bool:
    return len(word) == 64 and all(letter in "0123456789abcdef" for letter in word)
