"""The embedded engine behind HTTP: what it answers is what the model says, alone and beside other requests."""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
import torch

from rlsp_cli.backends.local.model_server.batches import Batches
from rlsp_cli.backends.local.model_server.model import Continue, Model, Way
from rlsp_cli.engine.prompt import encode_texts
from rlsp_cli.rewards import Completion, ServedModel, UnansweredError
from rlsp_cli.rewards.models import Address
from tests.byte_model import byte_model, byte_tokenizer, chatml
from tests.model_server import byte_classifier, serving_model

Served = tuple[ServedModel, Model]


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = byte_model(tmp_path_factory.mktemp("writer"), byte_tokenizer(chatml()))
    with serving_model(folder) as (address, model), ServedModel("writer", address) as asked:
        yield asked, model


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = byte_classifier(tmp_path_factory.mktemp("classifier"), byte_tokenizer())
    with serving_model(folder) as (address, model), ServedModel("prm", address) as asked:
        yield asked, model


def logits(model: Model, tokens: Sequence[int]) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model.model(torch.tensor([list(tokens)])).logits[0].float()
    return found


def test_log_probabilities_are_those_of_a_pass_through_the_model(writer: Served) -> None:
    asked, model = writer
    tokens = asked.tokenize("2 + 2 = 4")
    expected = logits(model, tokens).log_softmax(-1)[:-1].gather(1, torch.tensor([tokens[1:]]).T)
    assert asked.logprobs(tokens) == pytest.approx([0.0, *expected[:, 0].tolist()], abs=1e-5)
    assert asked.logprobs(tokens[:1]) == [0.0]


def test_classes_are_those_of_a_pass_through_the_model(classifier: Served) -> None:
    asked, model = classifier
    tokens = asked.tokenize("one\ntwo\n")
    found = torch.tensor(asked.token_scores(tokens))
    torch.testing.assert_close(found, logits(model, tokens).softmax(-1), atol=1e-5, rtol=0)


def test_the_most_probable_continuation_is_the_engines(writer: Served) -> None:
    asked, model = writer
    prompt = asked.tokenize("hello")
    tokens = list(prompt)
    for _ in range(5):
        tokens.append(int(logits(model, tokens)[-1].argmax()))
    (found,) = asked.complete(prompt, max_tokens=5, temperature=0)
    assert found.tokens == tokens[len(prompt) :] and found.truncated


def test_a_text_and_its_tokens_are_continued_alike_and_by_the_seed(writer: Served) -> None:
    asked, _ = writer
    draw = partial(asked.complete, count=3, max_tokens=6)
    first = draw("hello", seed=1)
    assert draw(asked.tokenize("hello"), seed=1) == first
    assert draw("hello", seed=2) != first
    assert len({one.text for one in first}) == 3


def test_a_text_that_stops_is_no_part_of_the_continuation(writer: Served) -> None:
    asked, _ = writer
    (whole,) = asked.complete("hello", max_tokens=30, seed=4)
    stop = whole.text[8]
    (found,) = asked.complete("hello", max_tokens=30, seed=4, stop=[stop])
    assert found.text == whole.text[: whole.text.index(stop)]
    assert found.tokens == whole.tokens[: len(found.tokens)] and not found.truncated


def test_requests_at_once_are_answered_as_alone(writer: Served, classifier: Served) -> None:
    texts = ["a", "bcd", "efghi" * 5, "j"]
    written: list[list[Completion]] = []
    for text in texts:
        written.append(writer[0].complete(text, count=2, max_tokens=8, seed=1))
    alone = [classifier[0].token_scores(classifier[0].tokenize(text)) for text in texts]

    def complete(text: str) -> list[Completion]:
        with ServedModel("writer", writer[0].address) as asked:
            return asked.complete(text, count=2, max_tokens=8, seed=1)

    def classify(text: str) -> list[list[float]]:
        with ServedModel("prm", classifier[0].address) as asked:
            return asked.token_scores(asked.tokenize(text))

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(complete, texts * 3)) == written * 3
        for text, found in zip(texts * 3, pool.map(classify, texts * 3), strict=True):
            torch.testing.assert_close(torch.tensor(found), torch.tensor(alone[texts.index(text)]))


def test_a_chat_goes_through_the_template(writer: Served) -> None:
    asked, model = writer
    before = asked.tokens_used
    said = asked.chat([{"role": "user", "content": "hi"}], max_tokens=5)
    prompt = "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    (ids,) = encode_texts([prompt], model.tokenizer)
    ((greedy,),) = model.continuations(Way(5, 0, 1, ()), [Continue(tuple(ids), 1, 0)])
    assert said == model.tokenizer.decode(greedy.tokens, skip_special_tokens=True).strip()
    assert asked.tokens_used - before == len(ids) + len(greedy.tokens)


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda w, c: w.token_scores([1]), "writes text, and does not classify tokens"),
        (lambda w, c: c.complete("a", max_tokens=2), "classifies tokens, and writes no text"),
        (lambda w, c: c.logprobs([1, 2]), "classifies tokens, and writes no text"),
        (lambda w, c: w.logprobs([1, 10**6]), "token ids are from 0 to 258, found 1000000"),
        (lambda w, c: w.complete("a" * 500, max_tokens=20), "do not fit the model's 512 positions"),
        (lambda w, c: w.complete(""), "the prompt has no tokens"),
        (lambda w, c: w.complete("a", count=0), "n: Input should be greater than or equal to 1"),
        (lambda w, c: w.chat([]), "messages: List should have at least 1 item"),
    ],
)
def test_what_cannot_be_answered_is_refused_in_words(
    writer: Served, classifier: Served, ask: object, words: str
) -> None:
    with pytest.raises(UnansweredError, match=words):
        ask(writer[0], classifier[0])  # type: ignore[operator]


def test_nobody_is_answered_without_the_key(writer: Served) -> None:
    address = Address(writer[0].address.url, "m", "another")
    with ServedModel("writer", address) as asked, pytest.raises(UnansweredError, match="HTTP 401"):
        asked.tokenize("a")


def test_the_servers_own_name_of_the_model_is_found(writer: Served) -> None:
    url, _, key = writer[0].address
    with ServedModel("writer", Address(url, "", key)) as asked:
        assert asked.tokenize("ab") == writer[0].tokenize("ab")


def test_work_that_nobody_waits_for_is_not_done() -> None:
    batches, open_gate = Batches(), threading.Event()
    seen: list[list[str]] = []

    def do(tasks: Sequence[str]) -> Sequence[str]:
        seen.append(list(tasks))
        return tasks

    def wait(tasks: Sequence[bool]) -> Sequence[bool]:
        return [open_gate.wait() for _ in tasks]

    held = batches.submit("held", wait, True)
    while not held.running():
        pass
    first, second, third = (batches.submit("alike", do, word) for word in "abc")
    assert second.cancel()
    open_gate.set()
    assert (first.result(), third.result()) == ("a", "c")
    assert seen == [["a", "c"]]


def test_an_error_costs_the_requests_that_were_answered_together_and_no_others() -> None:
    def fail(tasks: Sequence[str]) -> Sequence[str]:
        raise RuntimeError("out of memory")

    batches = Batches()
    with pytest.raises(RuntimeError, match="out of memory"):
        batches.submit("alike", fail, "a").result()
    assert batches.submit("alike", list, "b").result() == "b"
