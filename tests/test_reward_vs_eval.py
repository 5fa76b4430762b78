"""Reward components beside bench accuracy over checkpoints, against numbers by hand and scipy."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr

from rlsp_cli.evals.results import ModelResult, Results
from rlsp_cli.recipe.load import resolve_recipe
from rlsp_cli.report.reward_vs_eval import reward_vs_eval, reward_vs_eval_table, training_steps
from rlsp_cli.report.step import Step
from rlsp_cli.report.summary import summarise_run
from rlsp_cli.rewards.registry import resolve_options
from rlsp_cli.runs.run import create_run
from rlsp_cli.runs.stream import append_rows, write_json
from tests.test_metrics import result, row

LENGTH = "exploration/length/mean"


def training(values: list[float]) -> list[Step]:
    return [Step(number, {LENGTH: value}) for number, value in enumerate(values, start=1)]


def evaluated(accuracies: dict[int, float]) -> list[Step]:
    return [Step(number, {"sums/greedy": value}) for number, value in accuracies.items()]


def test_a_checkpoint_has_the_mean_since_the_one_before_and_step_0_the_first_rollout() -> None:
    # Checkpoints 0, 2, 5: rollout 1; rollouts 1 and 2; rollouts 3, 4 and 5.
    steps = training([1.0, 3.0, 4.0, 5.0, 9.0])
    (found,) = reward_vs_eval(steps, evaluated({0: 0.1, 2: 0.2, 5: 0.6}))
    assert (found.component, found.bench, found.checkpoints) == (
        "exploration/length",
        "sums/greedy",
        3,
    )

    # (1, 0.1), (2, 0.2), (6, 0.6) lie on one line.
    assert found.pearson == pytest.approx(1.0) and found.spearman == pytest.approx(1.0)
    assert found.component_change == 5.0 and found.accuracy_change == pytest.approx(0.5)
    assert found.warning is None


def test_the_correlations_are_those_of_scipy_with_ties() -> None:
    values = [float(value) for value in np.random.default_rng(0).integers(0, 4, 12)]
    accuracies = {
        number: float(value) / 4
        for number, value in enumerate([2, 1, 1, 3, 0, 2, 2, 4, 1, 0, 3, 3], 1)
    }
    (found,) = reward_vs_eval(training(values), evaluated(accuracies))
    assert found.pearson == pytest.approx(pearsonr(values, list(accuracies.values())).statistic)
    assert found.spearman == pytest.approx(spearmanr(values, list(accuracies.values())).statistic)


def test_too_few_checkpoints_have_none_and_a_constant_has_no_correlation() -> None:
    steps = training([1.0, 1.0, 1.0])
    assert reward_vs_eval(steps, evaluated({1: 0.1, 2: 0.2})) == []
    (found,) = reward_vs_eval(steps, evaluated({1: 0.1, 2: 0.2, 3: 0.3}))
    assert found.pearson is None and found.spearman is None
    assert reward_vs_eval_table([found]).rows[0][2:4] == ["-", "-"]


def results(accuracies: dict[int, float]) -> dict[str, Any]:
    """results.json of ten greedy responses by the model of each step."""
    models = {}
    for step, accuracy in accuracies.items():
        rows = [row(str(n), "greedy", 0, float(n < 10 * accuracy)) for n in range(10)]
        models[f"step-{step}"] = ModelResult("folder", {"pair_sum": result(rows)})
    return {"schema": "rlsp.eval/1", "data": Results(models).to_json()}


def test_the_report_of_the_steps_reads_the_training_and_warns(tmp_path: Path) -> None:
    stage = tmp_path / "trained" / "ppo"
    rows = [{"step": step, LENGTH: float(step), "correctness/mean": 0.5} for step in range(3)]
    append_rows(stage / "metrics.jsonl", rows)
    checkpoints = {step: str(stage / "checkpoints" / f"model-{step}") for step in (1, 2, 3)}

    data: dict[str, Any] = {"name": "x", "model": {"path": "org/name"}}
    data["eval"] = {"benches": ["pair_sum"], "checkpoints": checkpoints}
    recipe = resolve_recipe(data, plugins=resolve_options)
    file = tmp_path / "x.yaml"
    file.write_text("name: x")
    create_run(recipe, file, tmp_path / "run")
    write_json(tmp_path / "run" / "eval" / "results.json", results({1: 0.5, 2: 0.4, 3: 0.2}))

    report = summarise_run(tmp_path / "run")
    assert (
        "exploration/length rose by 2.000 while pair_sum/greedy fell by 30.0 points"
        in report.notes[-1]
    )
    table = next(table for table in report.tables if "over checkpoints" in table.title)
    assert [row[0] for row in table.rows] == ["exploration/length", "correctness"]
    assert report.to_json()["reward_vs_eval"][0]["pearson"] < -0.9

    # Without the training's files there is nothing to correlate with.
    (stage / "metrics.jsonl").unlink()
    assert (
        training_steps(checkpoints) == [] and summarise_run(tmp_path / "run").reward_vs_eval == []
    )
