"""A model whose weights cannot fit is refused before any of them are loaded."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, PreTrainedModel

from rlsp_cli.backends.local import room
from rlsp_cli.backends.local.held import Parameters
from rlsp_cli.backends.local.room import count_parameters, needed_bytes, refuse_too_large
from rlsp_cli.engine.collector import Collector
from rlsp_cli.engine.decode import Generated
from rlsp_cli.engine.ending import refuse_unreachable_end
from rlsp_cli.engine.model import new_model
from rlsp_cli.engine.optimise import Optimiser
from rlsp_cli.errors import NotReadyError
from rlsp_cli.recipe.ppo import Ppo
from rlsp_cli.recipe.sft import Sft
from rlsp_cli.rewards import Sample
from tests.conftest import TINY, rlsp
from tests.test_ppo import SPEC, WORDS, make_trainer

CPU = torch.device("cpu")
LORA = {"rank": 2}


@pytest.fixture
def llama(tmp_path: Path) -> Path:
    """The configuration of Llama 70B; there are no weights."""
    sizes = {
        "hidden_size": 8192,
        "intermediate_size": 28672,
        "num_hidden_layers": 80,
        "num_attention_heads": 64,
        "num_key_value_heads": 8,
        "vocab_size": 128256,
    }
    folder = tmp_path / "llama"
    LlamaConfig(**sizes, architectures=["LlamaForCausalLM"]).save_pretrained(folder)
    return folder


def test_a_model_is_counted_by_its_configuration(llama: Path) -> None:
    found = count_parameters(str(llama))
    assert found.whole == 70_553_706_496  # as Llama 3.1 70B's card has it
    assert found.output == 128256 * 8192 and found.trunk == found.whole - found.output  # not tied


def held(trainer_models: list[PreTrainedModel], optimisers: list[Optimiser]) -> int:
    """Bytes of the weights, and of the gradients and moments of those that learn."""
    weights = {id(p): p for model in trainer_models for p in model.parameters()}
    learned = [p for optimiser in optimisers for p in optimiser.parameters]
    sizes = sum(p.numel() for p in weights.values()), sum(p.numel() for p in learned)
    return int(4 * sizes[0] + 12 * sizes[1])


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"kl_coef": 0},
        {"critic": "value_head"},
        {"estimator": "reinforce", "kl_coef": 0},
    ],
)
def test_a_stage_holds_so_many_bytes_for_each_parameter(
    changes: dict[str, Any], tmp_path: Path
) -> None:
    trainer = make_trainer(tmp_path, **changes)
    models = [trainer.models.policy]
    if trainer.settings.uses_kl:
        with trainer.models.roles.playing("reference") as reference:
            models.append(reference)
    if trainer.models.value_head is not None and trainer.models.critic == "critic":
        with trainer.models.roles.playing("critic") as critic:
            models.append(critic)

    optimisers = [trainer.learner.optimiser]
    if trainer.learner.critic_optimiser:
        optimisers.append(trainer.learner.critic_optimiser)
    head = sum(
        16 * p.numel() for p in (trainer.models.value_head or torch.nn.Module()).parameters()
    )

    whole = trainer.models.policy.num_parameters()
    size = needed_bytes(trainer.settings, Parameters(whole, whole, 0), bfloat16=False)
    assert size == pytest.approx(held(models, optimisers) - head, abs=head)


TIED = Parameters(whole=10, trunk=10, output=3)


def test_adapters_and_sampling_need_room_for_the_weights_alone() -> None:
    for bfloat16 in (False, True):  # they are loaded in float32
        assert needed_bytes(None, TIED, bfloat16) == 40
        assert needed_bytes(Sft(lora=LORA), TIED, bfloat16) == 40  # type: ignore[arg-type]
        assert needed_bytes(Ppo(lora=LORA), TIED, bfloat16) == 40  # type: ignore[arg-type]
    assert needed_bytes(Sft(), TIED, False) == 160


def test_a_server_has_weights_of_its_own() -> None:
    adapters = Ppo(lora=LORA, sampler="vllm")  # type: ignore[arg-type]
    assert needed_bytes(adapters, TIED, bfloat16=False) == 40 + 40
    assert needed_bytes(adapters, TIED, bfloat16=True) == 20 + 20

    whole, served = Ppo(), Ppo(sampler="vllm")
    for bfloat16, width in ((False, 4), (True, 2)):
        alone = needed_bytes(whole, TIED, bfloat16)
        assert needed_bytes(served, TIED, bfloat16) == alone + width * (10 + 3)


@pytest.mark.integration
def test_what_would_fit_is_said(llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_room", lambda _: 400 * 2**30)
    refuse_too_large(str(llama), CPU)
    refuse_too_large(str(llama), CPU, Sft(lora=LORA))  # type: ignore[arg-type]
    whole = r"^model '.*llama' has 70\.55 billion parameters, which take 1051\.3 GiB .*; cpu has 400\.0 GiB: "
    with pytest.raises(NotReadyError, match=whole + r"with `lora: \{\}` it takes 262\.8 GiB"):
        refuse_too_large(str(llama), CPU, Sft())

    monkeypatch.setattr(room, "_room", lambda _: 100 * 2**30)
    for settings in (None, Sft(), Ppo(), Sft(lora=LORA)):  # type: ignore[arg-type]
        with pytest.raises(NotReadyError, match=r"cpu has 100\.0 GiB: choose a smaller model"):
            refuse_too_large(str(llama), CPU, settings)


def test_a_server_is_named_where_it_makes_a_model_too_large(
    llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "_room", lambda _: 400 * 2**30)
    refuse_too_large(str(llama), CPU, Ppo(lora=LORA))  # type: ignore[arg-type]
    with pytest.raises(NotReadyError, match=r"525\.7 GiB of memory with those of the vLLM server;"):
        refuse_too_large(str(llama), CPU, Ppo(lora=LORA, sampler="vllm"), "float32")  # type: ignore[arg-type]


@pytest.mark.integration
def test_training_refuses_a_model_that_is_too_large_in_one_line(
    llama: Path, tmp_path: Path
) -> None:
    new_model(SPEC, [WORDS], seed=1)[1].save_pretrained(llama)
    (llama / "model.safetensors").touch()  # would be looked into next
    start, _, rest = TINY.partition("model:")
    recipe = f"{start}model: {{path: {llama}}}\n{rest[rest.index('data:') :]}"
    (tmp_path / "r.yaml").write_text(recipe)
    done = rlsp("sft", tmp_path / "r.yaml", "--out", tmp_path / "run", check=False)
    assert done.returncode == 4 and done.stderr.count("70.55 billion parameters") == 1, done.stderr
    assert "Traceback" not in done.stderr


def test_an_end_token_without_a_logit_is_refused() -> None:
    model, tokenizer = new_model(SPEC, [WORDS], seed=1)
    refuse_unreachable_end(model, tokenizer)
    tokenizer.add_special_tokens({"eos_token": "<end>"})
    model.generation_config.eos_token_id = None
    with pytest.raises(NotReadyError, match=r"<end> has the id \d+, and the model knows ids below"):
        refuse_unreachable_end(model, tokenizer)


@pytest.mark.parametrize("ends", [True, False])
def test_a_first_rollout_without_an_end_is_noted_once(
    ends: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer = make_trainer(tmp_path)

    class Scripted:
        def draw(
            self, prompts: list[list[int]], step: int, first: int, samples: Sequence[Sample]
        ) -> list[Generated]:
            return [Generated([8], truncated=not ends or row > 0) for row in range(len(prompts))]

    collector = Collector(trainer.context, trainer.settings, trainer.collector.problems, Scripted())  # type: ignore[arg-type]
    for step in range(2):
        collector.collect(step, range(4))
    said = capsys.readouterr().err
    assert said.count("no response of the first rollout ended") == int(not ends), json.dumps(said)
