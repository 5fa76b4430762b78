"""Time in the embedded engine: what a step is made of, and the measurement that it is computed from."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rlsp_cli.backends.local.calibration import Load, Speed
from rlsp_cli.backends.local.calibration.measure import measure
from rlsp_cli.backends.model_shape import ModelShape
from rlsp_cli.engine.tokenizer import word_tokenizer
from rlsp_cli.errors import NotReadyError
from rlsp_cli.plan import make_plan
from rlsp_cli.plan.counts import Counts
from rlsp_cli.plan.embedded_time import embedded_time, ppo_step
from rlsp_cli.plan.padding import padded_tokens, response_lengths
from rlsp_cli.plan.texts import Texts, texts_of
from rlsp_cli.recipe.lora import Lora
from rlsp_cli.recipe.ppo import Ppo
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.recipe.sft import Sft
from rlsp_cli.runs.stream import read_rows
from tests.conftest import TINY, rlsp
from tests.optional import present

SHAPE = ModelShape(16, 2, 2, 2, 8, 32, 100, tied=True)
NOTHING = Speed(0, 0, 0, 0, 0, 0, 0, bfloat16=False)
TRUNK, WHOLE = SHAPE.trunk, SHAPE.parameters


def settings(**changes: Any) -> Ppo:
    """Eight responses a step, four at once, one update; no padding."""
    given = {
        "rollout_batch": 4,
        "samples_per_prompt": 2,
        "train_batch": 8,
        "micro_batch": 1,
        "max_new_tokens": 20,
    }
    return Ppo.model_validate(
        {**given, "decode_batch": 4, "kl_coef": 0, "estimator": "group_norm", **changes}
    )


def sampling(ppo: Ppo, **speed: float) -> float:
    """Seconds with prompts of 5 tokens and responses of 10."""
    return ppo_step(ppo, SHAPE, 5, 10, replace(NOTHING, **speed))[0]  # type: ignore[arg-type]


def training(ppo: Ppo, **speed: float) -> float:
    """The same of training."""
    return ppo_step(ppo, SHAPE, 5, 10, replace(NOTHING, **speed))[1]  # type: ignore[arg-type]


def test_sampling_is_steps_of_a_full_batch_and_a_share_for_each_token() -> None:
    assert (
        sampling(settings(), step=1) == 20
    )  # 8 x 10 tokens, four at once, or the longest response
    assert sampling(settings(decode_batch=2), step=1) == 40
    assert sampling(settings(), row=1) == 80


def test_each_prompt_is_read_once() -> None:
    assert sampling(settings(), forward_trunk=1) == 4 * 5


def test_training_passes_are_those_of_the_models_that_the_recipe_has() -> None:
    tokens = 8 * 15
    assert training(settings(), train=1, forward=1, train_trunk=1, forward_trunk=1) == tokens
    assert training(settings(epochs=2), train=1) == 2 * tokens
    assert training(settings(kl_coef=0.1), forward=1) == tokens
    gae = settings(estimator="gae")
    assert training(gae, train_trunk=1) == training(gae, forward_trunk=1) == tokens
    assert training(settings(estimator="gae", critic="value_head"), train_trunk=1) == 0


def test_old_log_probabilities_take_a_pass_in_bfloat16_with_several_updates() -> None:
    assert training(settings(), forward=1, bfloat16=True) == 0
    assert training(settings(train_batch=4), forward=1, bfloat16=True) == 8 * 15
    assert training(settings(train_batch=4), forward=1) == 0


def test_a_micro_batch_is_as_wide_as_its_longest_sequence() -> None:
    assert padded_tokens([1, 5, 2, 4], batch=4, micro_batch=2) == 2 * 2 + 2 * 5
    assert padded_tokens([1, 5, 2, 4], batch=4, micro_batch=8) == 4 * 5
    assert padded_tokens([1, 5, 2], batch=1, micro_batch=8) == 8


def test_responses_spread_around_their_mean_as_far_as_they_may() -> None:
    assert response_lengths(4, mean=10, longest=40) == [2.5, 7.5, 12.5, 17.5]
    assert response_lengths(4, mean=30, longest=40) == [22.5, 27.5, 32.5, 37.5]
    assert response_lengths(2, mean=40, longest=40) == [40, 40]


def test_updates_pad_within_a_minibatch_and_other_passes_within_the_rollout() -> None:
    # Responses of 1.25, 3.75, ... 18.75 tokens; prompts of 5.
    whole = settings(micro_batch=8, kl_coef=0.1)
    assert training(whole, train=1) == training(whole, forward=1) == 8 * (5 + 18.75)

    in_parts = settings(micro_batch=4, kl_coef=0.1, train_batch=4)
    assert training(in_parts, forward=1) == 4 * (5 + 8.75) + 4 * (5 + 18.75)
    assert training(in_parts, train=1) > training(in_parts, forward=1)


def test_a_step_of_sft_computes_the_padding_of_its_examples_and_no_longer_ones() -> None:
    counts = Counts("sft", "local", optimizer_steps=1)
    texts = Texts(4, 0, 0, lengths=(2, 6, 2, 6, 99))
    speed = replace(NOTHING, train=1)

    sft = Sft(batch=4, micro_batch=4, max_length=50)
    assert embedded_time(sft, SHAPE, counts, texts, speed).training == (4 * 6, 4 * 6)
    alone = Sft(batch=4, micro_batch=1, max_length=50)
    assert embedded_time(alone, SHAPE, counts, texts, speed).training == (4 * 4, 4 * 4)


def test_adam_steps_over_what_learns() -> None:
    assert training(settings(train_batch=4), adam=1) == 2 * WHOLE
    assert training(settings(estimator="gae"), adam=1) == WHOLE + TRUNK
    adapters = 2 * 4 * sum(map(sum, SHAPE.matrices.values()))  # two layers, rank 4
    assert training(settings(lora=Lora(rank=4)), adam=1) == adapters


def tiny(**changes: Any) -> Recipe:
    """PPO of a small model from scratch."""
    return Recipe.model_validate(
        {
            "name": "a",
            "model": {"from_scratch": {"hidden_size": 32, "num_heads": 2}},
            "data": {"prompts": {"source": "task:pair_sum", "rows": 50}},
            "ppo": {"steps": 3, "max_new_tokens": 16},
            **changes,
        }
    )


def test_a_plan_measures_once_for_each_stage_with_the_runs_environment() -> None:
    asked: list[tuple[Load, Mapping[str, str]]] = []

    def measured(load: Load, env: Mapping[str, str]) -> Speed:
        asked.append((load, env))
        return replace(NOTHING, step=1)

    plan = make_plan(tiny(cluster={"env": {"OMP_NUM_THREADS": "1"}}), measure=measured)
    (time,), ((load, env),) = plan.times, asked
    assert env["OMP_NUM_THREADS"] == "1" and load.decode_batch > 1
    assert time.step == (16, 64) and time.total == (48, 192)
    assert plan.to_json()["times"][0]["total"] == (48, 192)


def test_what_cannot_be_measured_is_said_and_the_rest_of_the_plan_stands() -> None:
    def fails(_load: Load, _env: Mapping[str, str]) -> Speed:
        raise NotReadyError("no GPU here")

    plan = make_plan(tiny(), measure=fails)
    assert plan.times == () and plan.notes == ("ppo: time is not estimated: no GPU here",)
    assert plan.embedded[0].total > 0

    slurm = tiny(cluster={"launcher": "slurm"})
    assert "the job runs on another machine" in make_plan(slurm, measure=fails).notes[0]


def test_tokens_of_a_model_from_scratch_are_counted_and_not_estimated() -> None:
    loads: list[Load] = []

    def measured(load: Load, _env: Mapping[str, str]) -> Speed:
        loads.append(load)
        return NOTHING

    make_plan(tiny(), measure=measured)
    # 'Which two of 11, 2, 12, 4 add up to 14?' has 15 words and signs, and an end is counted.
    assert loads[0].prompt_tokens == 16


def test_a_measured_format_decides_the_memory() -> None:
    def narrow(_load: Load, _env: Mapping[str, str]) -> Speed:
        return replace(NOTHING, bfloat16=True)

    recipe = tiny(ppo={"lora": {}})
    assert make_plan(recipe, measure=narrow).embedded[0].total < make_plan(recipe).embedded[0].total


LOAD = Load(
    shape=replace(SHAPE, layers=5),
    precision="float32",
    gpus=0,
    lora_rank=None,
    lora_targets=(),
    gradient_checkpointing=False,
    prompt_tokens=4,
    response_tokens=4,
    micro_batch=2,
    decode_batch=4,
)


@pytest.mark.integration
@pytest.mark.parametrize("changes", [{}, {"lora_rank": 2}, {"gradient_checkpointing": True}])
def test_a_measurement_has_all_parts(changes: dict[str, Any]) -> None:
    speed = measure(replace(LOAD, **changes))
    assert 0 < speed.forward < speed.train
    assert 0 < speed.forward_trunk < speed.train_trunk
    assert speed.adam > 0 and speed.step > 0 and speed.row >= 0 and not speed.bfloat16


@pytest.mark.integration
def test_nothing_is_sampled_for_sft() -> None:
    assert measure(replace(LOAD, decode_batch=0)).step == 0


def test_a_model_that_is_too_large_is_not_made() -> None:
    huge = replace(SHAPE, hidden=20_000, vocabulary=150_000)
    with pytest.raises(NotReadyError, match="this large is not measured"):
        measure(replace(LOAD, shape=huge))


@pytest.mark.integration
def test_the_command_measures_once_and_is_near_the_run(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RLSP_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "tiny.yaml").write_text(TINY)
    first, second = (rlsp("plan", "tiny.yaml", "--json", cwd=tmp_path) for _ in range(2))
    assert first.stderr.count("measuring the speed of this machine") == 2  # for SFT and PPO
    assert second.stderr == "" and first.stdout == second.stdout

    # A factor of fifty tells a wrong unit from a busy machine.
    _, ppo = json.loads(first.stdout)["data"]["times"]
    rows = list(read_rows(tiny_run / "run/ppo/metrics.jsonl"))
    seen = sum(row["time/rollout_s"] + row["time/train_s"] for row in rows) / len(rows)
    assert ppo["step"][0] / 50 < seen < 50 * ppo["step"][1]


@pytest.mark.integration
def test_the_table_of_time_says_that_it_is_an_estimate(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY)
    told = rlsp("plan", "tiny.yaml", "cluster.launcher=slurm", cwd=tmp_path, check=False)
    assert "sft: time is not estimated: the job runs on another machine" in told.stdout
    told = rlsp("plan", "tiny.yaml", cwd=tmp_path)
    assert "estimate of seconds on this machine" in told.stdout
    assert present(told.stdout).count("checkpoints and evaluation come on top") == 1


def test_tokens_of_a_chat_template_count(tmp_path: Path) -> None:
    tokenizer = word_tokenizer(["one two three"], 64)
    tokenizer.save_pretrained(tmp_path)

    def texts(template: str) -> tuple[Texts, Texts]:
        (tmp_path / "template").write_text(template)
        model = {"path": str(tmp_path), "chat_template": str(tmp_path / "template")}
        rows = {"source": "task:pair_sum", "rows": 5}
        recipe = tiny(model=model, data={"prompts": rows, "traces": rows}, sft={})
        return texts_of(recipe, "prompts"), texts_of(recipe, "traces")

    asked = "{{ messages[-1].content }}"
    bare, dressed = texts(asked), texts(f"one two {asked} three")
    for before, after in zip(bare, dressed, strict=True):
        assert after.counted and after.prompt_tokens == before.prompt_tokens + 3
    assert sum(dressed[1].lengths) == sum(bare[1].lengths) + 5 * 3
