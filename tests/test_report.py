"""Reports read a run's files back, also half a run's, and say where to look."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rlsp_cli.errors import UsageError
from rlsp_cli.evals.compare import Comparison
from rlsp_cli.evals.metrics import Metrics
from rlsp_cli.evals.metrics.summary import Rates
from rlsp_cli.evals.results import BenchResult, ModelResult, Results
from rlsp_cli.evals.statistics import Difference, Estimate, verdict
from rlsp_cli.recipe.load import load_recipe
from rlsp_cli.report import summarise_run, write_report
from rlsp_cli.report.evaluation import difference_table, eval_table
from rlsp_cli.report.outcome import outcome
from rlsp_cli.report.summary import notes
from rlsp_cli.rewards.registry import resolve_options
from rlsp_cli.runs.run import create_run
from rlsp_cli.runs.stream import append_rows, write_json
from tests.browser import told_by_browser
from tests.provenance import made
from tests.test_metrics import result, row


@pytest.fixture
def run(tiny_recipe: Path, tmp_path: Path) -> Path:
    create_run(load_recipe(tiny_recipe, plugins=resolve_options), tiny_recipe, tmp_path / "run")
    return tmp_path / "run"


def ppo_row(step: int, **changes: float) -> dict[str, Any]:
    row = {
        "correctness/mean": 0.5,
        "exploration/length/mean": -0.3,
        "response/tokens": 20.0,
        "response/truncated": 0.0,
    }
    row |= {
        "response/answered": 1.0,
        "response/repetition": 0.0,
        "behaviour/verify": 1.0,
        "kl/response": 0.1,
        "alpha": 0.8,
    }
    return {"step": step, **row, "outcome/value": 8, "outcome/error": 0, **changes}


def test_a_run_without_any_stage_has_a_report(run: Path) -> None:
    report = write_report(run)
    assert report.tables == [] and (run / "report.html").read_text().startswith("<!doctype html>")


def test_half_a_run_shows_what_is_there_with_rewards_apart(run: Path) -> None:
    append_rows(run / "ppo" / "metrics.jsonl", [ppo_row(step) for step in range(20)])
    with (run / "ppo" / "metrics.jsonl").open("a") as stream:
        stream.write('{"step": 20, "corr')
    (table,) = write_report(run).tables
    assert table.columns[:3] == ["steps", "correct", "length"]
    assert table.rows[0][:3] == ["1-3", "0.500", "-0.300"] and table.rows[-1][0] == "19-20"
    page = (run / "report.html").read_text()
    assert page.count("<svg") == 6
    assert "http://" not in page.replace("http://www.w3.org", "").replace(
        "http://purl.org", ""
    ).replace("http://creativecommons.org", "")


@pytest.mark.integration
def test_the_ledger_has_plots_of_its_own_and_the_table_one_column_a_reward(run: Path) -> None:
    more = {
        "exploration/length/share": 0.2,
        "exploration/length/corr_tokens": 0.9,
        "reward/wrong_over_right": 0.0,
    }
    append_rows(run / "ppo" / "metrics.jsonl", [ppo_row(step, **more) for step in range(12)])
    (table,) = write_report(run).tables
    assert table.columns.count("length") == 1
    assert (run / "report.html").read_text().count("<svg") == 8


def test_what_a_model_wrote_is_escaped(run: Path) -> None:
    row = {
        "id": "1",
        "kind": "greedy",
        "index": 0,
        "response": "<script>alert(1)</script>",
        "reference": "<b>",
        "num_tokens": 3,
    }
    row |= {
        "truncated": False,
        "correctness": {"outcome": "value", "value": 0.0, "answer": None, "reason": None},
    }
    append_rows(run / "eval" / "base" / "heldout" / "samples.jsonl", [row])
    write_report(run)
    page = (run / "report.html").read_text()
    assert "<script>" not in page and "&lt;script&gt;" in page


def test_the_collapse_behind_growing_length_is_pointed_at_and_a_healthy_run_is_not() -> None:
    collapse = [
        ppo_row(
            step,
            **{
                "response/tokens": 20 + 5 * step,
                "response/answered": 1 - step / 25,
                "correctness/mean": 0.5,
            },
        )
        for step in range(20)
    ]
    healthy = [
        ppo_row(step, **{"response/tokens": 20 + 5 * step, "correctness/mean": step / 25})
        for step in range(20)
    ]
    looping = [ppo_row(step, **{"response/repetition": step / 25}) for step in range(20)]
    assert any(
        "responses grew longer" in note and "answer rate fell" in note for note in notes(collapse)
    )
    assert notes(healthy) == []
    assert any("repetition rose" in note for note in notes(looping))


def test_unscored_components_are_named_with_their_count() -> None:
    (note,) = notes([ppo_row(0, **{"outcome/error": 3, "outcome/timeout": 1})])
    assert "3 error, 1 timeout" in note


def moved(value: float, low: float, high: float) -> Difference:
    return Difference(
        value, low, high, 30, differ=20, p_value=0.5, detectable=None, verdict=verdict(low, high)
    )


def test_differences_that_hold_zero_cannot_be_told_apart() -> None:
    comparisons = [
        Comparison("sft", "ppo", "aime24", "sample", moved(value, value - 0.1, value + 0.1))
        for value in (0.05, 0.2, -0.2)
    ]
    words = [row[4] for row in difference_table(comparisons).rows]
    assert words == ["cannot be told apart", "better", "worse"]


def test_a_folder_that_is_no_run_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"not a run folder \(no resolved.yaml\)"):
        summarise_run(tmp_path)


@pytest.mark.integration
def test_the_page_shows_its_curves_in_a_browser(run: Path, tmp_path: Path) -> None:
    """Chromium, where there is one, lays the page out and finds every figure with a size."""
    append_rows(run / "ppo" / "metrics.jsonl", [ppo_row(step) for step in range(20)])
    write_report(run)
    wide = "[...document.querySelectorAll('svg')].filter(s => s.clientWidth > 200).length"
    assert told_by_browser((run / "report.html").read_text(), wide, tmp_path) == "6"


def test_results_with_and_without_samples_make_a_table(run: Path) -> None:
    greedy = metrics(Estimate(0.5, 0.4, 0.6), k=1, unscored={"timeout": 2})
    sample = metrics(None, k=0, unscored={"error": 8})
    results = Results(
        {"base": ModelResult("x", {"aime24": BenchResult(made(), greedy, sample)})},
        verifier={"use": "x"},
    )
    write_json(run / "eval" / "results.json", {"schema": "rlsp.eval/1", "data": results.to_json()})
    (table,) = write_report(run).tables
    assert (
        table.columns[:4] == ["bench", "decoding", "model", "accuracy % (95%)"]
        and "pass@k %" not in table.columns
    )
    assert [row[3] for row in table.rows] == ["50.0 (40.0 to 60.0)", "-"]
    assert [row[-1] for row in table.rows] == ["2 timeout", "8 error"]
    assert json.loads((run / "report.json").read_text())["schema"] == "rlsp.report/1"


def test_a_number_that_leaves_problems_out_says_on_how_many_it_is() -> None:
    def cell(scored: str, unscored: str = "") -> str:
        rows = [row(id, "greedy", 0, 1.0) for id in scored] + [
            row(id, "greedy", 0, None) for id in unscored
        ]
        results = Results(
            {"m": ModelResult("x", {"b": replace(result(rows), protocol=made(problems=3))})}
        )
        assert ("b on 2 of 3 problems, greedy" in outcome(results)[0]) == bool(unscored)
        return str(eval_table(results).rows[0][3])

    assert cell("ab", "c").endswith(" on 2 of 3 problems") and "problems" not in cell("abc")


def metrics(accuracy: Estimate | None, **known: Any) -> Metrics:
    """Metrics of responses about which not much is known."""
    values: dict[str, Any] = dict.fromkeys(Metrics.__dataclass_fields__)
    values |= {
        "responses": 1,
        "problems": 1,
        "k": 1,
        "k_least": 1,
        "unscored": {},
        "rates": Rates(0, 0, 0, 0, 0),
    }
    values |= {
        "truncated": 0.0,
        "answered": 1.0,
        "dont_know": 0.0,
        "repetition": 0.0,
        "behaviour": {"backtrack": 0, "verify": 0},
    }
    values |= {"checks": {}, "pass_at": {}, "maj_at": {}, "best_of": {}}
    return Metrics(**values | {"accuracy": accuracy} | known)


def evaluated(*comparisons: Comparison, **accuracies: float) -> Results:
    """Results of models, in their order, that were asked greedily."""
    models = {}
    for model, value in accuracies.items():
        bench = BenchResult(made(), greedy=metrics(Estimate(value, 0.1, 0.2)))
        models[model] = ModelResult("x", {"heldout": bench})
    return Results(models, comparisons)


def test_what_came_out_is_one_sentence() -> None:
    def compared(moved: Difference) -> Results:
        comparison = Comparison("sft", "ppo", "heldout", "greedy", moved)
        return evaluated(comparison, base=0.0, sft=0.1525, ppo=0.9975)

    assert outcome(compared(moved(0.845, 0.8, 0.9))) == [
        "ppo answers 84.5 points more than sft on heldout, greedy (99.8 % against 15.2 %)"
    ]
    (sentence,) = outcome(compared(moved(0.01, -0.1, 0.1)))
    assert sentence.startswith("ppo and sft cannot be told apart on heldout, greedy")
    assert outcome(evaluated(base=0.125)) == [
        "base answers 12.5 % of heldout, greedy (95% interval 10.0 to 20.0)"
    ]
    assert outcome(Results()) == [] and outcome(evaluated()) == []
