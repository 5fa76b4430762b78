"""A model's positions are known before anything loads it, as vLLM counts them."""

import json
from pathlib import Path
from typing import Any

import pytest

from rlsp_cli.backends.context_length import context_length
from rlsp_cli.errors import NotReadyError
from rlsp_cli.recipe.model import Model
from tests.conftest import refusal

RECIPE = """\
schema_version: 1
name: job
model: {path: MODEL}
data: {prompts: {source: task:pair_sum, rows: 64}, traces: {source: task:pair_sum, rows: 64}}
cluster: {gpus_per_node: 8}
"""


def model(folder: Path, **config: Any) -> Model:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"model_type": "other", **config}))
    return Model(path=str(folder))


@pytest.mark.parametrize(
    ("config", "positions"),
    [
        ({"max_position_embeddings": 4096}, 4096),
        ({"text_config": {"max_position_embeddings": 4096}}, 4096),
        ({"max_position_embeddings": 131072, "rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, 131072),
        ({"max_position_embeddings": 4096, "rope_scaling": {"type": "linear", "factor": 2.0}}, 8192),
        ({"max_position_embeddings": 40960, "rope_parameters": {
            "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}}, 131072),
        ({}, None),
        ({"max_position_embeddings": None}, None),
        ({"max_position_embeddings": "4096"}, None),
        ({"text_config": None, "max_position_embeddings": 4096}, 4096),
        ({"max_position_embeddings": 4096, "rope_scaling": [1]}, 4096),
    ],
)  # fmt: skip
def test_positions_are_those_of_the_configuration(
    tmp_path: Path, config: dict[str, Any], positions: int
) -> None:
    assert context_length(model(tmp_path / "model", **config)) == positions


@pytest.mark.parametrize(
    ("text", "what"), [("{bad", "cannot be read"), ("[1]", "expected a JSON object")]
)
def test_a_broken_configuration_is_named_in_one_line(tmp_path: Path, text: str, what: str) -> None:
    file = tmp_path / "config.json"
    file.write_text(text)
    with pytest.raises(NotReadyError, match=what) as found:
        context_length(Model(path=str(tmp_path)))
    assert str(found.value).startswith(f"{file}: ") and "\n" not in str(found.value)


def test_positions_of_the_table_and_of_a_new_model_are_known_and_others_are_not() -> None:
    assert context_length(Model(path="Qwen/Qwen2.5-7B-Instruct")) == 32768
    assert context_length(Model(path="Qwen/Qwen2.5-7B")) == 131072
    assert context_length(Model.model_validate({"from_scratch": {"max_length": 99}})) == 99
    assert context_length(Model(path="nobody/knows-this-model")) is None


def test_sequences_that_outgrow_the_model_are_refused_before_gpus_are_taken(tmp_path: Path) -> None:
    model(tmp_path / "model", max_position_embeddings=4096)
    path = tmp_path / "job.yaml"
    path.write_text(RECIPE.replace("MODEL", str(tmp_path / "model")))
    ppo = ["ppo={backend: openrlhf, steps: 1, rollout_batch: 64, train_batch: 64}"]
    assert "prompt and response may have 6144 tokens" in refusal(
        path, ppo, "has positions for 4096"
    )
    sft = ["sft={backend: axolotl, batch: 64, micro_batch: 8}"]
    assert "an example may have 8192 tokens" in refusal(
        path, sft, "has positions for 4096 - lower it"
    )
