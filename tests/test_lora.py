"""LoRA in the embedded engine: one set of weights that are policy, reference and critic."""

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, PreTrainedModel

from rlsp_cli.engine.adapter import save_adapter
from rlsp_cli.engine.checkpoint import save_model
from rlsp_cli.engine.model import new_model
from rlsp_cli.engine.roles import Adapters
from rlsp_cli.errors import RecipeError
from rlsp_cli.recipe.lora import Lora
from tests.test_ppo import SPEC, WORDS, gradients, make_trainer, written_rollout

pytestmark = pytest.mark.usefixtures("one_thread")

TOKENS = torch.tensor([[3, 4, 5, 6, 7]])
LORA: dict[str, Any] = {"rank": 4, "alpha": 8}


def adapted(**options: Any) -> Adapters:
    model, _ = new_model(SPEC, [WORDS], seed=1)
    return Adapters(model.eval(), Lora(**LORA, **options), 0, ("reference", "critic"))


@torch.no_grad()
def logits(model: PreTrainedModel) -> torch.Tensor:
    found: torch.Tensor = model(TOKENS).logits
    return found


def teach(roles: Adapters, role: Any) -> None:
    """Give a role's adapter weights that change something."""
    random = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in roles.parameters(role):
            parameter.copy_(torch.randn(parameter.shape, generator=random))


def test_an_adapter_changes_nothing_at_first_and_then_its_own_role_alone() -> None:
    plain, _ = new_model(SPEC, [WORDS], seed=1)
    expected, roles = logits(plain.eval()), adapted()
    assert torch.equal(logits(roles.policy), expected)

    teach(roles, "policy")
    moved = logits(roles.policy)
    assert not torch.allclose(moved, expected)
    for role in ("reference", "critic"):
        with roles.playing(role) as model:
            assert torch.equal(logits(model), expected)
    assert torch.equal(logits(roles.policy), moved)


def test_the_base_weights_are_in_memory_once_and_only_adapters_learn() -> None:
    roles = adapted()
    plain, _ = new_model(SPEC, [WORDS], seed=1)
    learning = {id(p) for role in ("policy", "critic") for p in roles.parameters(role)}
    frozen = [p for p in roles.policy.parameters() if id(p) not in learning]
    assert sum(p.numel() for p in frozen) == sum(p.numel() for p in plain.parameters())
    assert not any(p.requires_grad for p in frozen)
    assert not {id(p) for p in roles.parameters("policy")} & {
        id(p) for p in roles.parameters("critic")
    }


@pytest.mark.parametrize("checkpointing", [False, True])
def test_each_loss_reaches_the_adapter_of_its_role(checkpointing: bool, tmp_path: Path) -> None:
    options: dict[str, Any] = {"lora": LORA, "gradient_checkpointing": checkpointing, "kl_coef": 0}
    trainer = make_trainer(tmp_path, **options)
    teach(trainer.models.roles, "policy")  # type: ignore[arg-type]
    teach(trainer.models.roles, "critic")  # type: ignore[arg-type]
    policy, critic = gradients(trainer, written_rollout())
    assert policy.norm() > 0 and critic.norm() > 0
    plain = make_trainer(tmp_path, **{**options, "gradient_checkpointing": False})
    teach(plain.models.roles, "policy")  # type: ignore[arg-type]
    teach(plain.models.roles, "critic")  # type: ignore[arg-type]
    for ours, theirs in zip((policy, critic), gradients(plain, written_rollout()), strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # peft's own
def test_the_merged_model_and_the_kept_adapter_are_the_policy(tmp_path: Path) -> None:
    roles = adapted()
    _, tokenizer = new_model(SPEC, [WORDS], seed=1)
    teach(roles, "policy")
    teach(roles, "critic")
    expected = logits(roles.policy)
    base, _ = new_model(SPEC, [WORDS], seed=1)
    base.save_pretrained(tmp_path / "base")

    save_model(tmp_path / "final", roles.policy, tokenizer, keep_adapter=True)
    torch.testing.assert_close(logits(roles.policy), expected, atol=0, rtol=0)
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "final")
    torch.testing.assert_close(logits(merged), expected, atol=1e-4, rtol=1e-4)
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    kept = PeftModel.from_pretrained(again, tmp_path / "final" / "adapter")
    torch.testing.assert_close(logits(kept), expected, atol=1e-4, rtol=1e-4)


def test_training_with_adapters_leaves_the_base_as_it_was(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, lora=LORA, learning_rate=1e-2, critic_learning_rate=1e-2)
    plain, _ = new_model(SPEC, [WORDS], seed=1)
    before = {
        name: [p.clone() for p in trainer.models.roles.parameters(name)]
        for name in ("policy", "critic")
    }
    trainer.run()
    with trainer.models.roles.playing("reference") as reference:
        assert torch.equal(logits(reference), logits(plain.eval()))
    for name, weights in before.items():
        now = trainer.models.roles.parameters(name)  # type: ignore[arg-type]
        assert any(not torch.equal(p, was) for p, was in zip(now, weights, strict=True))
    saved = AutoModelForCausalLM.from_pretrained(trainer.context.paths.final)
    torch.testing.assert_close(logits(saved), logits(trainer.models.policy), atol=1e-4, rtol=1e-4)


def test_targets_that_are_not_there_are_named_with_those_that_are() -> None:
    with pytest.raises(RecipeError, match=r"lora.targets: query: no such layers; .*q_proj"):
        adapted(targets=["query"])
    named = adapted(targets=["q_proj", "v_proj"])
    assert len(named.parameters("policy")) == 2 * 2 * SPEC.num_layers


def test_an_adapter_alone_is_the_policys(tmp_path: Path) -> None:
    roles = adapted()
    teach(roles, "critic")
    save_adapter(roles.policy, tmp_path)
    assert sorted(path.name for path in tmp_path.glob("adapter*")) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
