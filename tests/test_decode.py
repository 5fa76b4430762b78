"""Our decoding against transformers' own `generate`, on models made on the spot."""

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from rlsp_cli.engine.decode import choose, generate
from rlsp_cli.engine.model import new_model
from rlsp_cli.engine.sampler import LocalSampler
from rlsp_cli.evals.samplers import Decoding, Request
from rlsp_cli.recipe.schema import FromScratch

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


@pytest.mark.parametrize("model_type", ["llama", "qwen2", "qwen3"])
@pytest.mark.parametrize("lengths", [[5, 5, 5, 5], [2, 7, 4, 1]])
def test_greedy_decoding_equals_transformers_generate(model_type: str, lengths: list[int]) -> None:
    model = tiny_model(model_type)
    random = torch.Generator().manual_seed(3)
    prompts = [torch.randint(2, 20, (n,), generator=random).tolist() for n in lengths]
    ours = generate(model, prompts, max_new_tokens=24, temperature=0, eos_ids={EOS}, pad_id=PAD)
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
    random = torch.Generator().manual_seed(0)
    responses = generate(
        model, prompts, max_new_tokens=30, temperature=1.0, eos_ids={EOS}, pad_id=PAD, random=random
    )
    for response in responses:
        assert response.tokens.count(EOS) == (0 if response.truncated else 1)
        assert len(response.tokens) == 30 if response.truncated else response.tokens[-1] == EOS
    assert len({len(r.tokens) for r in responses}) > 3


def test_sampled_words_follow_the_softmax() -> None:
    logits = torch.tensor([0.0, 1.0, 2.0]).repeat(20000, 1)
    chosen = choose(logits, 0.5, 1.0, torch.Generator().manual_seed(0))
    share = torch.bincount(chosen, minlength=3) / 20000
    torch.testing.assert_close(share, (logits[0] / 0.5).softmax(-1), atol=0.01, rtol=0)


def test_nucleus_sampling_never_leaves_the_nucleus() -> None:
    logits = torch.log(torch.tensor([0.5, 0.3, 0.15, 0.05])).repeat(5000, 1)
    chosen = choose(logits, 1.0, 0.7, torch.Generator().manual_seed(0))
    assert set(chosen.tolist()) == {0, 1}


def test_prompts_of_like_length_share_a_batch_and_what_was_done_changes_no_response() -> None:
    spec = FromScratch(
        hidden_size=16, intermediate_size=32, num_layers=1, num_heads=2, max_length=64
    )
    sampler = LocalSampler(*new_model(spec, ["a b c d"], seed=0), "auto", batch=2)
    requests = [Request(str(i), "a b c d " * n) for i, n in enumerate([1, 9, 2, 8, 1])]
    decoding = Decoding(temperature=1.0, top_p=1.0, max_new_tokens=6, seed=0)
    whole = list(sampler.answer(requests, decoding))
    assert [row for row, _ in whole] == [1, 3, 2, 0, 4]
    assert list(sampler.answer(requests, decoding, done={1, 2})) == [
        pair for pair in whole if pair[0] not in {1, 2}
    ]
