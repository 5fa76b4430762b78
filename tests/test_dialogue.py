"""Responses in turns: tokens stay as they were drawn, and what comes from elsewhere is outside every mask."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedModel, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from rlsp_cli.engine.advantage import gae, rewards_to_go
from rlsp_cli.engine.decode import Generated, Sampling, generate
from rlsp_cli.engine.dialogue import Dialogue, turn_seeds
from rlsp_cli.engine.foreign import ForeignText
from rlsp_cli.engine.logprobs import last_states, token_logp
from rlsp_cli.engine.model import new_model
from rlsp_cli.engine.rollout import as_tensors, recorded
from rlsp_cli.engine.sampler import LocalSampler
from rlsp_cli.errors import DataError
from rlsp_cli.evals.samplers import Decoding, Request, answers
from rlsp_cli.recipe.continuation import ContinuationUse
from rlsp_cli.recipe.model import FromScratch
from rlsp_cli.rewards.continuing import Reply
from rlsp_cli.rewards.sample import Sample
from rlsp_cli.rewards.turns import Turns
from tests.byte_model import byte_model, byte_tokenizer, chatml
from tests.optional import present

pytestmark = pytest.mark.usefixtures("one_thread")

Model = tuple[PreTrainedModel, PreTrainedTokenizerBase]
Ask = Callable[[Sequence[Sample]], Sequence[Reply]]
LIMIT = 24


def saying(*texts: str) -> Ask:
    """A continuation that says these texts one after another, then nothing."""

    def ask(samples: Sequence[Sample]) -> list[Reply]:
        said = [len(present(sample.turns).foreign) for sample in samples]
        return [Reply("text", texts[n]) if n < len(texts) else Reply("whole") for n in said]

    return ask


def dialogue(ask: Ask, tokenizer: PreTrainedTokenizerBase, **settings: Any) -> Dialogue:
    return Dialogue(ask, "tool", ContinuationUse(use="tool", **settings), tokenizer)


def respond(
    model: Model, talk: Dialogue, prompts: Sequence[list[int]], limit: int = LIMIT, seed: int = 0
) -> list[Generated]:
    """A response in turns to each prompt, at temperature 1."""
    network, tokenizer = model
    sampling = Sampling(limit, 1.0, record=1.0, stops=talk.stops)
    seeds = list(range(seed, seed + len(prompts)))

    def draw(
        rows: Sequence[int], sequences: Sequence[list[int]], limits: Sequence[int], turn: int
    ) -> list[Generated]:
        drawn = generate(
            network,
            sequences,
            sampling,
            seeds=turn_seeds([seeds[row] for row in rows], turn),
            eos_ids={tokenizer.eos_token_id},
            pad_id=tokenizer.pad_token_id,
            at_once=len(rows),
            limits=limits,
        )
        found = dict(drawn)
        return [found[place] for place in range(len(rows))]

    samples = [Sample("a prompt", "") for _ in prompts]
    return talk.respond(prompts, samples, limit, draw)


def scripted(
    talk: Dialogue, parts: Sequence[str], limit: int = 99, stopped: bool = True
) -> Generated:
    """A response of which the model writes these parts, whatever it has read."""

    def draw(rows: Any, sequences: Any, limits: Sequence[int], turn: int) -> list[Generated]:
        tokens = talk.tokenizer(parts[turn], add_special_tokens=False)["input_ids"]
        if not stopped:
            tokens = [*tokens, talk.tokenizer.eos_token_id]
        return [Generated(tokens[: limits[0]], len(tokens) > limits[0], stopped=stopped)]

    (response,) = talk.respond([[1]], [Sample("a prompt", "", "secret", "7")], limit, draw)
    return response


def merging_tokenizer() -> PreTrainedTokenizerFast:
    """Merges two digits to one token, also where a model wrote the first and a tool the second."""
    words = ["<|end|>", *"0123456789 =", "12", "34", "21", "1234"]
    merges = [("1", "2"), ("3", "4"), ("2", "1"), ("12", "34")]
    inner = Tokenizer(models.BPE({word: id for id, word in enumerate(words)}, merges))
    inner.pre_tokenizer = pre_tokenizers.Split(" ", "isolated")
    inner.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<|end|>", pad_token="<|end|>")


@pytest.fixture(scope="module")
def merging() -> Model:
    tokenizer = merging_tokenizer()
    spec = FromScratch(
        hidden_size=16, num_layers=2, num_heads=2, intermediate_size=32, max_length=64, init_std=0.4
    )
    network, _ = new_model(spec, [" ".join(tokenizer.get_vocab())], seed=1)
    network.resize_token_embeddings(len(tokenizer))
    return network.eval(), tokenizer


def test_log_probabilities_at_training_are_those_at_sampling_across_merges(merging: Model) -> None:
    network, tokenizer = merging
    talk = dialogue(saying("34", "21"), tokenizer, stop=["12", "1"])
    prompts = [tokenizer(text)["input_ids"] for text in ("12 =", "3 =", "4 4 =", "2 1")] * 4
    responses = respond(merging, talk, prompts)
    assert sum(len(one.foreign) for one in responses) > 8

    again = [tokenizer(tokenizer.decode(one.tokens))["input_ids"] for one in responses]
    assert again != [one.tokens for one in responses]  # these merges do cross the boundary

    tokens, mask, _ = as_tensors(prompts, responses, 0, torch.device("cpu"))
    with torch.no_grad():
        facts = token_logp(network, last_states(network, tokens), tokens, mask, 1.0, True)
    torch.testing.assert_close(facts, recorded(responses, mask), atol=1e-5, rtol=1e-5)


def test_the_mask_has_what_the_model_chose_and_nothing_else(merging: Model) -> None:
    talk = dialogue(saying("34"), merging[1], stop=["="])
    response = scripted(talk, ["12=", "21"])
    assert talk.tokenizer.convert_ids_to_tokens(response.tokens) == ["12", "=", "34", "21"]
    assert response.foreign == [range(2, 3)] and response.own_tokens == 3

    tokens, mask, _ = as_tensors([[5, 6]], [response], 0, torch.device("cpu"))
    chosen = tokens[0, 1:][mask[0].bool()].tolist()
    assert chosen == [response.tokens[place] for place in (0, 1, 3)]


def test_without_a_continuation_a_response_is_the_same_as_ever(merging: Model) -> None:
    network, tokenizer = merging
    prompts = [tokenizer(text)["input_ids"] for text in ("12 =", "3 =", "4 4 =")]
    talk = dialogue(saying(), tokenizer)
    plain = generate(
        network,
        prompts,
        Sampling(LIMIT, 1.0, record=1.0),
        seeds=[0, 1, 2],
        eos_ids={tokenizer.eos_token_id},
        pad_id=tokenizer.pad_token_id,
        at_once=3,
    )
    told = [replace(one, turns=None) for one in respond(merging, talk, prompts)]
    assert [(one.tokens, one.logp) for one in told] == [
        (one.tokens, one.logp) for _, one in sorted(plain)
    ]


def test_values_are_carried_over_what_others_say() -> None:
    whole, gap = torch.ones(1, 3), torch.tensor([[1.0, 0.0, 0.0, 1.0, 1.0, 0.0]])
    rewards, values = torch.tensor([[0.1, 0.0, 1.0]]), torch.tensor([[0.3, 0.5, 0.4]])
    places = gap[0].bool()

    wide = torch.full((2, 1, 6), 9.0)
    wide[0, :, places], wide[1, :, places] = rewards, values
    wide[0, :, ~places] = 0.0
    expected = gae(rewards, values, whole, 0.9, 0.8)
    found = gae(wide[0], wide[1], gap, 0.9, 0.8)
    for one, other in zip(expected, found, strict=True):
        torch.testing.assert_close(other[:, places], one)
        assert not other[:, ~places].any()

    to_go = rewards_to_go(wide[0], gap, 1.0)
    torch.testing.assert_close(to_go[:, places], torch.tensor([[1.1, 1.0, 1.0]]))


def test_after_an_end_token_a_text_is_a_turn_of_the_chat_template() -> None:
    tokenizer = byte_tokenizer(chatml())
    tokenizer.eos_token = "<|im_end|>"
    talk = dialogue(saying("408"), tokenizer)
    response = scripted(talk, ["12*34", "so 408"], stopped=False)
    assert tokenizer.decode(response.tokens) == (
        "12*34<|im_end|>\n<|im_start|>user\n408<|im_end|>\n<|im_start|>assistant\nso 408<|im_end|>"
    )
    turns = present(response.turns)
    assert turns.own == ["12*34", "so 408"] and turns.foreign == ["408"]
    assert turns.foreign_tokens == response.foreign[0].stop - response.foreign[0].start
    start = tokenizer.convert_tokens_to_ids("<|im_start|>")
    assert response.tokens[response.foreign[0].start + 1] == start  # after the line break


def test_what_a_critic_has_read_and_written_is_counted_with_its_last_reply() -> None:
    def ask(samples: Sequence[Sample]) -> list[Reply]:
        goes_on = [len(present(sample.turns).own) == 1 for sample in samples]
        return [Reply("text", "no", tokens=5) if on else Reply("whole", tokens=3) for on in goes_on]

    response = scripted(dialogue(ask, byte_tokenizer(chatml())), ["15", "12"])
    assert present(response.turns).other_tokens == 8


def test_after_a_stop_text_a_text_is_in_the_same_turn() -> None:
    talk = dialogue(saying("408"), byte_tokenizer(chatml()), stop=["="])
    assert talk.tokenizer.decode(scripted(talk, ["12*34=", ", so"]).tokens) == "12*34=408, so"


@pytest.mark.parametrize(
    "text",
    ["<|im_end|>", "a<|im_start|>user\n<|im_end|>b", "<<|im_end|>|im_end|>", "<|endoftext|>"],
)
def test_names_of_special_tokens_from_elsewhere_are_ordinary_words(text: str) -> None:
    tokenizer = byte_tokenizer(chatml())
    tokenizer.add_tokens(["<think>"], special_tokens=False)
    added = set(tokenizer.get_added_vocab().values())
    for said in (text, text + "<think>"):
        tokens = ForeignText(tokenizer).encode(said)
        assert not added & set(tokens) and tokenizer.decode(tokens) == said


def test_a_template_without_a_second_turn_is_refused() -> None:
    template = "{% if messages|length > 2 %}{{ raise_exception('one turn only') }}{% endif %}"
    with pytest.raises(DataError, match="refuses a second turn: one turn only"):
        ForeignText(byte_tokenizer(template))
    with pytest.raises(DataError, match="changes the words"):
        ForeignText(byte_tokenizer("{{ messages[0].content | upper }}"))


@pytest.mark.parametrize(
    ("texts", "limit", "outcome", "truncated"),
    [
        (["34"], 99, "whole", False),
        (["34"] * 9, 99, "turns", True),
        (["3" * 21], 99, "flood", True),
        (["3" * 10**6], 99, "flood", True),
        (["34"], 4, "overflow", True),
        (["34"], 5, "length", True),
        (["34"], 2, "length", True),
    ],
)
def test_a_response_that_cannot_go_on_says_why(
    texts: list[str], limit: int, outcome: str, truncated: bool
) -> None:
    talk = dialogue(saying(*texts), merging_tokenizer(), stop=["="], max_turns=3, max_tokens=20)
    response = scripted(talk, ["12 =", "21 =", "21 =", "21 ="], limit)
    turns = present(response.turns)
    assert (turns.outcome, response.truncated) == (outcome, truncated)
    assert len(response.tokens) <= limit
    assert not response.foreign or response.foreign[-1].stop < len(response.tokens)
    assert (turns.reason is None) == (outcome in ("whole", "length"))


def test_a_failed_continuation_is_an_outcome_of_its_response_alone(merging: Model) -> None:
    def ask(samples: Sequence[Sample]) -> list[Reply]:
        return [Reply("error", reason="x"), *[Reply("whole")] * (len(samples) - 1)]

    prompts = [[5, 6], [7, 8]]
    talk = dialogue(ask, merging[1], stop=["1", "2", "3", "4", "5", "6", "7", "8", "9", "0"])
    first, second = respond(merging, talk, prompts, limit=60)
    assert present(first.turns) == replace(present(first.turns), outcome="error", reason="x")
    assert present(first.turns).failed and not present(second.turns).failed


def test_a_continuation_sees_what_was_said_and_no_reference() -> None:
    seen: list[Sample] = []

    def ask(samples: Sequence[Sample]) -> Sequence[Reply]:
        seen.extend(samples)
        return saying("34")(samples)

    scripted(dialogue(ask, merging_tokenizer(), stop=["="]), ["12 =", "21"])
    first, second = seen
    assert (first.response, first.id, first.reference) == ("12 =", "7", None)
    assert second.response == "12 =\n21" and second.num_tokens == 4
    assert [turn.by for turn in present(second.turns).said] == ["model", "tool", "model"]


def test_an_evaluation_has_the_models_words_and_the_turns(tmp_path: Path) -> None:
    from rlsp_cli.engine.model import load_model, load_tokenizer

    path = str(byte_model(tmp_path, byte_tokenizer()))
    network, tokenizer = load_model(path, torch.device("cpu")), load_tokenizer(path)
    talk = dialogue(saying("<<", ">>"), tokenizer, stop=[chr(n) for n in range(32, 127)])
    sampler = LocalSampler(network, tokenizer, "float32", batch=4, dialogue=talk)
    requests = [Request(str(n), f"{n}+1=") for n in range(6)]
    decoding = Decoding(1.0, 1.0, 8, seed=3, logprobs=True)

    found = answers(sampler, requests, decoding)
    assert any(present(one.turns).foreign == ["<<", ">>"] for one in found)
    assert any(one.truncated and present(one.turns).foreign for one in found)
    for one in found:
        turns = present(one.turns)
        assert one.text == "\n".join(turns.own) and "<<" not in one.text
        assert turns.foreign_tokens == 2 * len(turns.foreign)
        if turns.outcome == "length":
            assert present(one.num_tokens) + turns.foreign_tokens == decoding.max_new_tokens
    again = dict(sampler.answer(requests, decoding, done={1, 2}))
    assert again == {row: found[row] for row in (0, 3, 4, 5)}


def test_turns_come_back_from_plain_data() -> None:
    import json
    from dataclasses import asdict

    talk = dialogue(saying("34"), merging_tokenizer(), stop=["="])
    turns = present(scripted(talk, ["12 =", "21"]).turns)
    sample = Sample("p", "r", turns=turns)
    assert Sample.from_json(json.loads(json.dumps(asdict(sample)))) == sample
    assert Turns.from_json(json.loads(json.dumps(asdict(turns)))) == turns
