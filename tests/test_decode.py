"""Our decoding against transformers' own `generate`, on models made on the spot."""

from collections.abc import Sequence

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from rlsp_cli.engine.decode import Generated, Sampling, generate
from rlsp_cli.engine.draw import choose
from rlsp_cli.engine.model import new_model
from rlsp_cli.engine.sampler import LocalSampler
from rlsp_cli.evals.samplers import Decoding, Request
from rlsp_cli.recipe.model import FromScratch

EOS, PAD = 1, 0


def tiny_model(model_type: str = "llama") -> PreTrainedModel:
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        model_type,
        vocab_size=20,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        initializer_range=0.4,
        eos_token_id=EOS,
        pad_token_id=PAD,
        bos_token_id=None,
    )
    return AutoModelForCausalLM.from_config(config).eval()


def responses(
    model: PreTrainedModel,
    prompts: list[list[int]],
    sampling: Sampling,
    seeds: Sequence[int] = range(1000),
    at_once: int = 64,
) -> list[Generated]:
    found = dict(
        generate(model, prompts, sampling, seeds=seeds, eos_ids={EOS}, pad_id=PAD, at_once=at_once)
    )
    return [found[row] for row in range(len(prompts))]


@pytest.mark.parametrize("model_type", ["llama", "qwen2", "qwen3"])
@pytest.mark.parametrize("lengths", [[5, 5, 5, 5], [2, 7, 4, 1]])
def test_greedy_decoding_equals_transformers_generate(model_type: str, lengths: list[int]) -> None:
    model = tiny_model(model_type)
    random = torch.Generator().manual_seed(3)
    prompts = [torch.randint(2, 20, (n,), generator=random).tolist() for n in lengths]
    ours = responses(model, prompts, Sampling(24, temperature=0))
    for prompt, response in zip(prompts, ours, strict=True):
        ids = torch.tensor([prompt])
        theirs = model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=24, do_sample=False
        )
        assert response.tokens == theirs[0, len(prompt) :].tolist()
        assert response.truncated == (EOS not in response.tokens)


def test_finished_sequences_end_with_one_end_token_and_the_rest_go_on() -> None:
    model = tiny_model()
    prompts = [[token, token] for token in range(2, 20)] * 4
    found = responses(model, prompts, Sampling(30, temperature=1.0))
    for response in found:
        assert response.tokens.count(EOS) == (0 if response.truncated else 1)
        assert len(response.tokens) == 30 if response.truncated else response.tokens[-1] == EOS
    assert len({len(r.tokens) for r in found}) > 3


def test_a_response_depends_on_its_prompt_and_its_seed_and_not_on_its_company() -> None:
    model, sampling = tiny_model(), Sampling(30, temperature=1.0, record=0.7)
    prompts = [[token, 3][: 1 + token % 2] for token in range(2, 20)] * 3
    together = responses(model, prompts, sampling)
    for at_once in (1, 7):
        again = responses(model, prompts, sampling, at_once=at_once)
        assert [r.tokens for r in again] == [r.tokens for r in together]
    alone = responses(model, prompts[5:6], sampling, seeds=[5])[0]
    assert alone.tokens == together[5].tokens
    torch.testing.assert_close(torch.tensor(alone.logp), torch.tensor(together[5].logp))
    assert len({tuple(together[row].tokens) for row in (5, 23, 41)}) > 1  # of one prompt


def test_what_is_recorded_is_of_the_temperature_that_was_asked_for() -> None:
    model, prompt = tiny_model(), [4, 5]
    response = responses(model, [prompt], Sampling(8, temperature=1.3, record=0.5))[0]
    tokens = torch.tensor([prompt + response.tokens])
    logp = (model(tokens).logits[0, 1:-1].float() / 0.5).log_softmax(-1)
    chosen = logp.gather(1, tokens[0, 2:, None])[:, 0]
    torch.testing.assert_close(torch.tensor(response.logp), chosen, atol=1e-5, rtol=1e-5)
    entropy = -(logp.exp() * logp).sum(-1)
    torch.testing.assert_close(torch.tensor(response.entropy), entropy, atol=1e-5, rtol=1e-5)


def test_the_last_word_of_the_distribution_is_drawn_only_if_it_has_a_probability() -> None:
    logits = torch.tensor([[0.0, 0.0, -torch.inf]]).repeat(2, 1)
    assert choose(logits, 1.0, 1.0, torch.tensor([1.0, 0.0])).tolist() == [1, 0]


def test_sampled_words_follow_the_softmax() -> None:
    logits = torch.tensor([0.0, 1.0, 2.0]).repeat(20000, 1)
    chosen = choose(logits, 0.5, 1.0, torch.rand(20000))
    share = torch.bincount(chosen, minlength=3) / 20000
    torch.testing.assert_close(share, (logits[0] / 0.5).softmax(-1), atol=0.01, rtol=0)


def test_nucleus_sampling_never_leaves_the_nucleus() -> None:
    logits = torch.log(torch.tensor([0.5, 0.3, 0.15, 0.05])).repeat(5000, 1)
    chosen = choose(logits, 1.0, 0.7, torch.rand(5000))
    assert set(chosen.tolist()) == {0, 1}


def test_what_was_done_before_changes_no_response() -> None:
    spec = FromScratch(
        hidden_size=16, intermediate_size=32, num_layers=1, num_heads=2, max_length=64
    )
    sampler = LocalSampler(*new_model(spec, ["a b c d"], seed=0), "auto", batch=2)
    requests = [Request(str(i), "a b c d " * n) for i, n in enumerate([1, 9, 2, 8, 1])]
    decoding = Decoding(temperature=1.0, top_p=1.0, max_new_tokens=6, seed=0)
    whole = list(sampler.answer(requests, decoding))
    assert sorted(row for row, _ in whole) == [0, 1, 2, 3, 4]
    assert list(sampler.answer(requests, decoding, done={1, 2})) == [
        pair for pair in whole if pair[0] not in {1, 2}
    ]
