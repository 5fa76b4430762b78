"""`rlsp reward try --step-scorer`: score the steps of responses."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlsp_cli.cli.output import print_json, print_table
from rlsp_cli.cli.reward.cells import number
from rlsp_cli.cli.scoring_recipe import note_reasons, scoring_recipe
from rlsp_cli.errors import UsageError

if TYPE_CHECKING:
    from rlsp_cli.rewards.sample import Sample, Score


def try_steps(
    name: str, recipe: str | None, overrides: list[str], file: Path | None, json: bool
) -> None:
    """`rlsp reward try --step-scorer`; of a recipe it takes the models and the plugins."""
    from rlsp_cli.backends.served_models import served_models
    from rlsp_cli.data import read_stepped
    from rlsp_cli.rewards.model_use import models_at
    from rlsp_cli.rewards.step_scoring import StepScorer

    if file is None:
        raise UsageError("no steps to score; give --samples FILE, with response or steps")

    loaded = scoring_recipe(name, recipe, overrides)
    rows = read_stepped(file)
    use, reward, plugins = loaded.reward.exploration[0], loaded.reward, loaded.plugins
    with (
        served_models(loaded, models_at(loaded, "reward")) as models,
        StepScorer(use, reward, plugins, models) as scorer,
    ):
        scores = scorer.score_and_check(rows)
        texts = [scorer.texts(row) for row in rows]
    _show_steps([row.sample for row in rows], texts, scores, json)


def _show_steps(
    samples: Sequence["Sample"],
    texts: Sequence[list[str]],
    scores: Sequence["Score"],
    json: bool,
) -> None:
    # One score for each step also where the scorer failed, which leaves them unknown.
    values: list[list[float | None]] = []
    for steps, score in zip(texts, scores, strict=True):
        known = [step.value for step in score.steps or ()]
        values.append(known or [None for _ in steps])

    note_reasons(scores)
    rows = list(zip(samples, texts, values, scores, strict=True))
    if json:
        print_json("reward-try", [_plain_steps(*row) for row in rows])
        return

    cells: list[tuple[Any, ...]] = []
    for sample, steps, found, score in rows:
        for place, (step, value) in enumerate(zip(steps, found, strict=True)):
            cells.append((sample.id, place, number(value), step))
        cells.append((sample.id, score.outcome, number(score.value), ""))
    print_table(["id", "step", "score", "text"], cells, keys=2)


def _plain_steps(
    sample: "Sample", texts: list[str], values: list[float | None], score: "Score"
) -> dict[str, Any]:
    outcome = {"id": sample.id, "outcome": score.outcome}
    return {**outcome, "steps": texts, "scores": values, "aggregate": score.value}
