"""Log-probabilities in chunks are those of the whole logits, with their gradients."""

from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from rlsp_cli.engine import logprobs
from rlsp_cli.engine.logprobs import last_states, token_logp
from rlsp_cli.engine.trial import refuse_leaks
from rlsp_cli.errors import RecipeError
from tests.test_caches import KINDS, WIDTHS, tiny

pytestmark = pytest.mark.usefixtures("one_thread")

TOKENS = torch.randint(2, 20, (3, 12), generator=torch.Generator().manual_seed(0))
MASK = torch.ones(3, 11)
MASK[0, :4] = MASK[1, 6:] = 0

OWN_LOGITS: dict[str, dict[str, Any]] = {
    "granite": {"logits_scaling": 4.0},
    "cohere": {"logit_scale": 0.25},
    "gemma2": {"final_logit_softcapping": 3.0, "sliding_window": 6},
}
"""Models that change the logits after their head."""


def by_whole_logits(model: Any, temperature: float) -> torch.Tensor:
    logp = (model(TOKENS, use_cache=False).logits[:, :-1].float() / temperature).log_softmax(-1)
    chosen = logp.gather(-1, TOKENS[:, 1:, None])
    return torch.cat([chosen, -(logp.exp() * logp).sum(-1, keepdim=True)], -1) * MASK[..., None]


@pytest.mark.parametrize("chunk", [1, 20 * 7, 2**24])
@pytest.mark.parametrize("entropy", [False, True])
def test_chunks_give_the_values_and_gradients_of_whole_logits(
    chunk: int, entropy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logprobs, "_CHUNK", chunk)
    model = tiny("llama")
    model.zero_grad()
    expected = by_whole_logits(model, 0.7)[..., : 1 + entropy]
    weights = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1))
    (expected * weights).sum().backward()
    gradients = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    model.zero_grad()

    found = token_logp(model, last_states(model, TOKENS), TOKENS, MASK, 0.7, entropy)
    torch.testing.assert_close(found, expected)
    (found * weights).sum().backward()
    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, atol=1e-4, rtol=1e-3)
    model.zero_grad()


@pytest.mark.integration
@pytest.mark.parametrize("model_type", [*KINDS, *OWN_LOGITS])
def test_every_head_alone_gives_the_models_own_log_probabilities(model_type: str) -> None:
    own = OWN_LOGITS.get(model_type)
    if own is None:
        model = tiny(model_type)
    else:
        config = AutoConfig.for_model(model_type, **{**WIDTHS, **own})
        model = AutoModelForCausalLM.from_config(config).eval()
    refuse_leaks(model)
    with torch.no_grad():
        found = token_logp(model, last_states(model, TOKENS), TOKENS, MASK, entropy=True)
        torch.testing.assert_close(found, by_whole_logits(model, 1.0), atol=1e-4, rtol=1e-4)


def test_a_head_that_is_more_than_its_layer_is_refused() -> None:
    torch.manual_seed(
        0
    )  # cubed logits of some weights leave one possible word, which has no spread
    model = AutoModelForCausalLM.from_config(tiny("llama").config).eval()

    def bend(_: Any, __: Any, output: Any) -> Any:
        output.logits = output.logits**3
        return output

    model.register_forward_hook(bend)
    with pytest.raises(RecipeError, match=r"cannot train model type llama: .* head is run alone"):
        refuse_leaks(model)


@pytest.mark.parametrize("chunk", [1, 20 * 7, 2**24])
def test_a_frozen_head_gives_the_gradients_of_whole_logits(
    chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logprobs, "_CHUNK", chunk)
    model = tiny("llama").requires_grad_(False)
    states = last_states(model, TOKENS).requires_grad_()
    weights = torch.randn(MASK.shape, generator=torch.Generator().manual_seed(1))

    logits = model.get_output_embeddings()(states[:, :-1]) / 0.7
    chosen = logits.log_softmax(-1).gather(-1, TOKENS[:, 1:, None])[..., 0]
    (expected,) = torch.autograd.grad((chosen * weights * MASK).sum(), states)

    found = token_logp(model, states, TOKENS, MASK, 0.7)[..., 0]
    torch.testing.assert_close(found, chosen * MASK)
    (gradient,) = torch.autograd.grad((found * weights).sum(), states)
    torch.testing.assert_close(gradient, expected, atol=1e-6, rtol=1e-4)
    model.requires_grad_(True)


@pytest.mark.parametrize("learns", [True, False])
def test_no_logits_of_a_whole_sequence_are_ever_made(learns: bool) -> None:
    model, widths = tiny("llama"), []
    head, count = model.get_output_embeddings(), int(MASK.sum())
    head.requires_grad_(learns)
    hook = head.register_forward_hook(lambda _l, _i, output: widths.append(output.shape[0]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logprobs, "_CHUNK", 20 * 4)
        token_logp(model, last_states(model, TOKENS), TOKENS, MASK).sum().backward()
    hook.remove()

    assert max(widths) == 4
    again = count - widths[-1] if learns else 0  # the last chunk's are kept for the backward pass
    assert sum(widths) == count + again
    head.requires_grad_(True)
    model.zero_grad()
