"""Models that a recipe names, served by processes of their own: asked by commands, ended, and not to be loaded."""

import json
import os
import signal
from pathlib import Path

import pytest

from rlsp_cli.backends.environment import Environment
from rlsp_cli.backends.served_models import served_models
from rlsp_cli.recipe.load import resolve_recipe
from rlsp_cli.rewards import Sample
from rlsp_cli.rewards.models import Addresses
from rlsp_cli.rewards.registry import resolve_options
from rlsp_cli.rewards.scorer import Scorer
from tests.byte_model import byte_tokenizer
from tests.conftest import rlsp
from tests.model_server import byte_classifier

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def prm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return byte_classifier(tmp_path_factory.mktemp("prm"), byte_tokenizer())


def listener(models: Addresses, name: str) -> int:
    """The process that listens at the port of a model."""
    port = int(models[name].root.rpartition(":")[2])
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    inode = next(row[9] for row in rows if row[1] == f"0100007F:{port:04X}" and row[3] == "0A")
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if link.readlink() == Path(f"socket:[{inode}]"):
                return int(link.parts[2])
        except OSError:
            continue
    raise AssertionError("nobody listens")


def test_a_server_that_died_costs_samples_which_are_no_zeros(prm: Path, tmp_path: Path) -> None:
    use = {"use": "prm", "steps": {}}
    reward = {"correctness": {"use": "exact_match"}, "exploration": use, "timeout_s": 60}
    data = {"name": "x", "models": {"prm": {"path": str(prm)}}, "reward": reward}
    recipe = resolve_recipe(data, plugins=resolve_options)
    samples = [Sample("2 + 2?", "a\nb", "4", id="a")]

    with (
        served_models(recipe, ["prm"], tmp_path) as models,
        Scorer(recipe.reward, recipe.plugins, models) as scorer,
    ):
        (before,) = scorer.score(samples, 0.5)
        assert before.exploration[0].outcome == "value" and before.exploration[0].tokens > 0

        os.kill(listener(models, "prm"), signal.SIGKILL)
        (after,) = scorer.score(samples, 0.5)
    assert (after.exploration[0].outcome, after.reward) == ("error", None)
    assert "model 'prm' at http" in str(after.exploration[0].reason)


def test_a_step_scorer_is_tried_with_its_model(prm: Path, tmp_path: Path) -> None:
    rows = [{"id": "a", "prompt": "2 + 2?", "response": "2 + 2 = 4\nso 4"}]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    words = ["reward", "try", "--step-scorer", "prm", f"models.prm.path={prm}"]
    done = rlsp(*words, "--samples", "rows.jsonl", "--json", cwd=tmp_path)
    (found,) = json.loads(done.stdout)["data"]
    assert found["outcome"] == "value" and found["steps"] == ["2 + 2 = 4", "so 4"]
    assert found["aggregate"] == min(found["scores"])


def test_vllm_gives_the_scores_of_the_embedded_engine(
    openrlhf_environment: Environment, tmp_path: Path
) -> None:
    folder = byte_classifier(tmp_path / "prm", byte_tokenizer(), hidden_size=64)
    use = {"use": "prm", "steps": {}}
    reward = {"correctness": {"use": "exact_match"}, "exploration": use, "timeout_s": 60}
    sample, scores = Sample("2 + 2?", "2 + 2 = 4\nso 4", "4", id="a"), []

    for serve in ("embedded", "vllm"):
        models = {"prm": {"path": str(folder), "serve": serve}}
        data = {"name": "x", "models": models, "reward": reward}
        recipe = resolve_recipe(data, plugins=resolve_options)
        with (
            served_models(recipe, ["prm"], tmp_path) as served,
            Scorer(recipe.reward, recipe.plugins, served) as scorer,
        ):
            (found,) = scorer.score([sample], 0.5)
        scores.append([step.score for step in found.exploration[0].steps or ()])
    assert len(scores[0]) == 2 and scores[1] == pytest.approx(scores[0], abs=1e-4)


def test_a_model_that_cannot_be_loaded_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"id": "a", "prompt": "", "response": "b"}\n')
    (tmp_path / "empty").mkdir()
    words = ["reward", "try", "--step-scorer", "prm", "--samples", "rows.jsonl"]
    done = rlsp(*words, "models.prm.path=empty", cwd=tmp_path, check=False)
    assert done.returncode == 4
    assert "models.prm: model" in done.stderr and "cannot be loaded" in done.stderr
    assert len(done.stderr.splitlines()) == 1

    done = rlsp(*words, "models.prn.path=empty", cwd=tmp_path, check=False)
    assert done.returncode == 3 and 'did you mean "prn"?' in done.stderr
