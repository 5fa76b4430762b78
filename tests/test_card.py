"""The model card that lies beside a trained model."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from rlsp_cli.evals.overlap import Contamination
from rlsp_cli.report import summarise_run
from rlsp_cli.report.card import model_card
from rlsp_cli.runs.run import create_run, open_run
from tests.conftest import load_checked, rlsp

HOSTILE = "</td><script>alert(1)</script> ![x](http://evil) | `a`\n---\n# Title"


@pytest.fixture
def run(tiny_recipe: Path, tmp_path: Path) -> Path:
    create_run(load_checked(tiny_recipe), tiny_recipe, tmp_path / "run")
    return tmp_path / "run"


def facts(card: str) -> dict[str, Any]:
    """The YAML block, as the hub reads it."""
    found: dict[str, Any] = ModelCard(card).data.to_dict()  # type: ignore[no-untyped-call]
    return found


def card_of(root: Path) -> str:
    return model_card(open_run(root), summarise_run(root), "ppo")


def test_a_model_without_scores_says_that_nothing_was_measured(run: Path) -> None:
    card = card_of(run)
    assert "model-index" not in facts(card)
    assert "Not evaluated: nothing was measured" in card


def test_base_model_license_and_data_sets_are_named_where_they_are_known(
    tiny_recipe: Path, tmp_path: Path
) -> None:
    base = tmp_path / "base"
    base.mkdir()
    (base / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    known = [f"model={{path: {base}, from_scratch: null}}", "data.prompts.source=hf:org/name@1"]
    known.append("data.prompts.options={}")
    create_run(load_checked(tiny_recipe, *known), None, tmp_path / "a")
    data = facts(card_of(tmp_path / "a"))
    assert (data["license"], data["datasets"]) == ("apache-2.0", ["org/name"])
    assert "base_model" not in data

    hub = "model={path: org/base@main, from_scratch: null}"
    create_run(load_checked(tiny_recipe, hub), None, tmp_path / "b")
    data = facts(card_of(tmp_path / "b"))
    assert "license" not in data and data["base_model"] == "org/base"


@pytest.mark.integration
def test_the_hub_reads_scores_from_the_card_of_a_run(tiny_run: Path) -> None:
    for stage in ("sft", "ppo"):
        card = (tiny_run / "run" / stage / "checkpoints" / "final" / "README.md").read_text()
        (model,) = facts(card)["model-index"]
        scores = model["results"][0]["metrics"]
        assert [one["name"] for one in scores] == ["accuracy, greedy", "accuracy, sampled"]
        assert model["name"] == f"tiny-{stage}"
        assert "no copies in data.traces and data.prompts" in card


@pytest.mark.integration
def test_text_of_others_is_no_markup_in_the_card(tiny_run: Path) -> None:
    run, report = open_run(tiny_run / "run"), summarise_run(tiny_run / "run")
    found = Contamination(problems=1, problems_found=1, rows=1, rows_found=1, first=HOSTILE)
    results = replace(report.evaluation, contaminated={"heldout": {"traces": found}})
    card = model_card(run, replace(report, evaluation=results, notes=[HOSTILE]), "ppo")
    assert "<script>" not in card and "![x]" not in card
    assert "\n# Title" not in card and facts(card)["library_name"] == "transformers"


@pytest.mark.integration
def test_report_writes_a_card_again(tiny_run: Path) -> None:
    card = tiny_run / "run" / "sft" / "checkpoints" / "final" / "README.md"
    before = card.read_text()
    card.unlink()
    rlsp("report", tiny_run / "run")
    assert card.read_text() == before
