"""The embedded engine as a sampler: responses that a restart does not change, their probabilities, continued starts."""

from dataclasses import replace

import pytest
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from rlsp_cli.engine.model import new_model
from rlsp_cli.engine.prompt import encode_prompt
from rlsp_cli.engine.sampler import LocalSampler
from rlsp_cli.evals.samplers import Decoding, Request, answers
from rlsp_cli.recipe.model import FromScratch

REQUESTS = [
    Request(f"{a}", f"{a} + {b} =", index)
    for a, b in ((1, 2), (3, 4), (5, 6))
    for index in range(3)
]
SAMPLED = Decoding(temperature=1.0, top_p=0.9, max_new_tokens=12, seed=7, logprobs=True)
Model = tuple[PreTrainedModel, PreTrainedTokenizerBase]


@pytest.fixture(scope="module")
def model() -> Model:
    spec = FromScratch(
        hidden_size=32, num_layers=1, num_heads=2, intermediate_size=64, max_length=64, init_std=0.4
    )
    return new_model(spec, ["0 1 2 3 4 5 6 7 8 9 + = a b c"], seed=1)


def test_what_was_done_before_changes_no_other_response(model: Model) -> None:
    sampler = LocalSampler(*model, "float32", batch=4)
    whole = dict(sampler.answer(REQUESTS, SAMPLED))
    assert list(whole) == list(range(9)) and len({response.text for response in whole.values()}) > 5
    rest = dict(
        sampler.answer(REQUESTS, SAMPLED, done={0, 1, 2, 3, 5, 8})
    )  # a whole batch, and parts of others
    assert rest == {row: whole[row] for row in (4, 6, 7)}


def test_logprob_is_that_of_the_tokens_under_the_model(model: Model) -> None:
    network, tokenizer = model
    greedy = Decoding(temperature=0.0, top_p=1.0, max_new_tokens=8, seed=0, logprobs=True)
    for request, response in zip(
        REQUESTS, answers(LocalSampler(*model, "float32"), REQUESTS, greedy), strict=True
    ):
        tokens, total = encode_prompt(request.prompt, tokenizer), 0.0
        for _ in range(response.num_tokens or 0):  # greedy: the next token is the most likely one
            with torch.inference_mode():
                chances = network(torch.tensor([tokens])).logits[0, -1].log_softmax(-1)
            tokens.append(int(chances.argmax()))
            total += float(chances.max())
        assert response.scores["logprob"] == pytest.approx(total, abs=1e-3)
    assert not answers(LocalSampler(*model, "float32"), REQUESTS[:1], Decoding(0.0, 1.0, 8, 0))[
        0
    ].scores


def test_a_response_goes_on_from_its_start(model: Model) -> None:
    sampler = LocalSampler(*model, "float32")
    (whole,) = answers(sampler, REQUESTS[:1], Decoding(0.0, 1.0, 6, 0))
    start = " ".join(whole.text.split()[:2])
    (rest,) = answers(
        sampler, [Request("1", REQUESTS[0].prompt, prefix=start)], Decoding(0.0, 1.0, 4, 0)
    )
    assert start + rest.text == whole.text


def test_a_response_ends_at_a_stop_text_and_its_tokens_go_on_as_the_whole_would(
    model: Model,
) -> None:
    sampler, never = LocalSampler(*model, "float32"), ("never said",)
    (whole,) = answers(sampler, REQUESTS[:1], Decoding(0.0, 1.0, 8, 0, stop=never))
    stop = f" {whole.text.split()[3]}"
    (start,) = answers(sampler, REQUESTS[:1], Decoding(0.0, 1.0, 8, 0, stop=(stop,)))
    assert start.stopped and not start.truncated and whole.truncated and not whole.stopped
    assert start.text.endswith(stop) and start.text.count(stop) == 1

    going_on = Request("1", REQUESTS[0].prompt, prefix=start.text, prefix_ids=start.token_ids)
    left = 8 - len(start.token_ids)
    (rest,) = answers(sampler, [going_on], Decoding(0.0, 1.0, left, 0, stop=never))
    assert start.token_ids + rest.token_ids == whole.token_ids
    assert start.text + rest.text == whole.text


def test_a_prefix_in_tokens_is_not_encoded_again(model: Model) -> None:
    sampler, ids = LocalSampler(*model, "float32"), tuple(encode_prompt("a b c", model[1]))
    greedy = Decoding(0.0, 1.0, 4, 0)
    told = Request("1", REQUESTS[0].prompt, prefix="another text", prefix_ids=ids)
    said = Request("1", REQUESTS[0].prompt, prefix="a b c")
    assert answers(sampler, [told], greedy) == answers(sampler, [said], greedy)


def test_a_seed_of_its_own_makes_a_response_the_same_in_any_place(model: Model) -> None:
    sampler = LocalSampler(*model, "float32")
    seeded = [replace(request, seed=row) for row, request in enumerate(REQUESTS)]
    whole, backwards = (answers(sampler, asked, SAMPLED) for asked in (seeded, seeded[::-1]))
    assert [one.text for one in whole] == [one.text for one in backwards[::-1]]
