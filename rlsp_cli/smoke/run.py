"""The run of a small recipe: all stages, then the last training once more from its checkpoint."""

import math
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from rlsp_cli.backends import stages_of
from rlsp_cli.errors import RlspError, StageError
from rlsp_cli.launch.start import Start
from rlsp_cli.launch.workflow import run_recipe
from rlsp_cli.preflight import Check, Checked, Reply, look_at_replies
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.rewards.plain import as_sample
from rlsp_cli.rewards.sample import SampleScore, Score
from rlsp_cli.runs.paths import RunPaths, StagePaths
from rlsp_cli.runs.run import open_run
from rlsp_cli.runs.stream import read_json, read_rows

RUNS = Check("the run ends", "every stage of the recipe starts, trains and ends")
NUMBERS = Check("metrics are finite", "no loss, gradient or KL is NaN or infinite")
RESUMES = Check("a resumed run is the same", "from a checkpoint it comes to the same digits")
EVALUATED = Check("evaluation reads the model", "the trained model is loaded and answers")
_RANDOM = "cannot be told with a model of random weights"
_SIGNAL = 128
"""Exit codes from here on are of signals, which end the smoke test itself."""


@dataclass(frozen=True)
class Ran:
    """A run of the small recipe; `error` is what ended it early."""

    paths: RunPaths
    recipe: Recipe
    error: RlspError | None = None


def run_small(recipe: Recipe, root: Path, screen: Console) -> Ran:
    """Run all stages of a small recipe in a new folder; an error of a stage is an outcome."""
    return Ran(RunPaths(root), recipe, _error_of(recipe, Start(root), stages_of(recipe), screen))


def look_at_run(ran: Ran, screen: Console) -> Iterator[Checked]:
    """The checks above, and those of the sampled replies."""
    if ran.error is not None:
        yield RUNS.failed(str(ran.error), f"see {ran.paths.root}, and `rlsp check`")
        return
    yield RUNS.passed(f"{', '.join(stages_of(ran.recipe))}, two steps each")
    yield _numbers(ran)
    if ran.recipe.ppo:
        yield from look_at_replies(_replies(ran.paths.stage("ppo")), _RANDOM)
    yield _resumed(ran, screen)
    yield _evaluated(ran)


def _error_of(
    recipe: Recipe, start: Start, stages: tuple[str, ...], screen: Console
) -> RlspError | None:
    """What ended a run early; a signal that stops it stops us, too."""
    try:
        run_recipe(recipe, stages, start, screen, lambda root: f"rlsp run --out {root} --resume")
    except StageError as error:
        if error.exit_code > _SIGNAL:
            raise
        return error
    return None


def _numbers(ran: Ran) -> Checked:
    rows = [row for stage in _training(ran.recipe) for row in _metrics(ran.paths.stage(stage))]
    wrong = [f"{key} is {value}" for row in rows for key, value in row.items() if _is_bad(value)]
    if wrong:
        cause = "a reward, a learning rate or the model's number format makes them so"
        return NUMBERS.failed(f"{', '.join(wrong[:3])} ({len(wrong)} in all)", cause)
    return NUMBERS.passed(f"{len(rows)} steps")


def _is_bad(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def _training(recipe: Recipe) -> list[str]:
    return [stage for stage in stages_of(recipe) if stage != "eval"]


def _metrics(paths: StagePaths) -> list[Mapping[str, Any]]:
    return list(read_rows(paths.metrics))


def _replies(paths: StagePaths) -> list[Reply]:
    """The replies of the rollouts, as they were scored."""
    found = []
    for row in read_rows(paths.rollouts):
        parts = [Score.from_row(part) for part in (row["correctness"], *row["exploration"])]
        score = SampleScore(parts[0], tuple(parts[1:]), row["reward"])
        found.append(Reply(as_sample(row, str(paths.rollouts)), score))
    return found


def _resumed(ran: Ran, screen: Console) -> Checked:
    """Do the last step again, in a copy of the run that has only its checkpoint."""
    trained = _training(ran.recipe)
    if not trained:
        return RESUMES.untested("the recipe trains nothing")

    stage, copy = trained[-1], ran.paths.root.with_name("resumed")
    shutil.copytree(ran.paths.root, copy, ignore=shutil.ignore_patterns("*.lock"))
    run = open_run(copy)
    shutil.rmtree(run.paths.stage(stage).final)
    run.update(state="stopped", stages={stage: "stopped"})
    error = _error_of(run.recipe, Start(copy, resume=True), (stage,), screen)
    if error is not None:
        return RESUMES.failed(str(error), "the checkpoint cannot be read")
    return _same(ran.paths.stage(stage), run.paths.stage(stage))


def _same(first: StagePaths, second: StagePaths) -> Checked:
    differ = [
        key
        for one, other in zip(_metrics(first), _metrics(second), strict=True)
        for key in one
        if not key.startswith("time/") and one[key] != other.get(key)
    ]
    weights = [path.read_bytes() for paths in (first, second) for path in _weights(paths.final)]
    if not differ and weights[: len(weights) // 2] == weights[len(weights) // 2 :]:
        return RESUMES.passed("metrics and weights of the second step are equal to the last digit")
    found = f"differing: {', '.join(sorted(set(differ))) or 'the weights'}"
    return RESUMES.failed(found, "a plugin that draws random numbers or keeps state between calls")


def _weights(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.safetensors"))


def _evaluated(ran: Ran) -> Checked:
    results = ran.paths.stage("eval").results
    if not results.exists():
        return EVALUATED.untested("the recipe has nothing that answers problems")
    models = read_json(results)["data"]["models"]
    counts = [f"{name}: {_problems(model)} problems" for name, model in models.items()]
    return EVALUATED.passed("; ".join(counts))


def _problems(model: Mapping[str, Any]) -> int:
    """Problems of the held-out set that a model has answered."""
    greedy = model["benches"]["heldout"]["greedy"]
    return int(greedy["problems"])
