"""Traces as tokens: the same as one by one, made once for what they depend on, whole or not there at all."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rlsp_cli.data import Trace
from rlsp_cli.engine import examples as module
from rlsp_cli.engine.cache_folder import cache_home, cached_folder
from rlsp_cli.engine.examples import Example, fitting_examples, tokenised
from rlsp_cli.engine.lesson import closed_traces, lessons
from rlsp_cli.engine.prompt import encode_prompts, encode_texts
from rlsp_cli.engine.tokenizer import word_tokenizer
from rlsp_cli.errors import NotReadyError
from rlsp_cli.recipe.data import Data
from tests.byte_model import byte_tokenizer, chatml

PLAIN = Data(template="{problem}")
THOUGHT = "<think>\nhm\n</think>\n\n2"
TRACES = [Trace("1+1", THOUGHT), Trace("2+2", "4"), Trace("3+3", "<think>\nso"), Trace("é", "ü 5")]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RLSP_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tokens"


@pytest.mark.parametrize(
    "tokenizer",
    [byte_tokenizer(), byte_tokenizer(chatml("<think>\n")), word_tokenizer(["a b c 1 2"], 32)],
)
def test_texts_together_have_the_tokens_that_they_have_one_by_one(tokenizer: Any) -> None:
    texts = ["a b c", "", "<|im_start|>é 1 2<|endoftext|>", "2" * 300]
    alone = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    assert encode_texts(texts, tokenizer) == alone
    special = [tokenizer(text)["input_ids"] for text in texts]
    assert encode_texts(texts, tokenizer, add_special_tokens=True) == special
    prompts = alone if tokenizer.chat_template else special
    ends = [ids[:-1] if ids and ids[-1] == tokenizer.eos_token_id else ids for ids in prompts]
    assert encode_prompts(texts, tokenizer) == ends


def test_padding_that_others_have_asked_for_does_not_get_into_examples() -> None:
    tokenizer = byte_tokenizer()
    alone = encode_texts(["a", "bcd"], tokenizer)
    tokenizer(["a", "bcd"], padding=True, truncation=True, max_length=2)
    assert encode_texts(["a", "bcd"], tokenizer) == alone


def test_examples_are_what_each_closed_trace_teaches_in_order(
    capsys: pytest.CaptureFixture[str],
) -> None:
    tokenizer = byte_tokenizer(chatml("<think>\n"))
    store = tokenised(TRACES, PLAIN, tokenizer)
    assert "1 of 4 traces left out" in capsys.readouterr().out

    expected = []
    for lesson in lessons(closed_traces(TRACES), PLAIN, tokenizer):
        prompt, response, end = (
            tokenizer(text, add_special_tokens=False)["input_ids"]
            for text in (lesson.prompt, lesson.response, "".join(lesson.end))
        )
        expected.append(Example(prompt + response + end, len(prompt)))

    assert len(expected) == 3
    found = fitting_examples(store, range(3), 10_000)
    assert list(found) == expected
    assert list(found[1:]) == expected[1:]
    longest = max(len(example.tokens) for example in expected)
    kept = fitting_examples(store, range(3), longest - 1)
    assert list(kept) == [e for e in expected if len(e.tokens) < longest]


def test_traces_are_tokenised_once_and_what_was_found_is_said_each_time(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = byte_tokenizer(chatml("<think>\n"))
    first = tokenised(TRACES, PLAIN, tokenizer)
    made, *said = capsys.readouterr().out.splitlines()
    assert "tokenised" in made and str(cache_home()) in made
    assert "thinking not closed" in said[0] and "do not think" in said[1]

    def refuse(*_: object) -> None:
        raise AssertionError("tokenised again")

    monkeypatch.setattr(module, "encode_lessons", refuse)
    read_anew = [Trace(trace.prompt, trace.response) for trace in TRACES]
    again = tokenised(read_anew, PLAIN, byte_tokenizer(chatml("<think>\n")))
    assert capsys.readouterr().out.splitlines() == said
    assert [again[row] for row in range(3)] == [first[row] for row in range(3)]


def test_tokens_are_made_anew_for_whatever_they_depend_on(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer, more = byte_tokenizer(chatml()), byte_tokenizer(chatml())
    more.add_tokens(["hm"])
    for traces, data, reader in (
        (TRACES, PLAIN, tokenizer),
        (TRACES[:2], PLAIN, tokenizer),
        (TRACES[::-1], PLAIN, tokenizer),
        (TRACES, Data(template="Say {problem}"), tokenizer),
        (TRACES, Data(template="{problem}", system="Be short."), tokenizer),
        (TRACES, PLAIN, byte_tokenizer(chatml("<think>\n"))),
        (TRACES, PLAIN, more),
    ):
        before = set(cache.glob("*"))
        tokenised(traces, data, reader)
        assert len(set(cache.glob("*")) - before) == 1

    before = set(cache.glob("*"))
    monkeypatch.setattr(module, "_code", lambda: iter([b"another version"]))
    tokenised(TRACES, PLAIN, tokenizer)
    assert len(set(cache.glob("*")) - before) == 1


def writing(text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / "text").write_text(text)


def test_a_folder_that_could_not_be_written_whole_is_not_there(cache: Path) -> None:
    def killed(folder: Path) -> None:
        writing("half")(folder)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached_folder("tokens", "key", killed)
    assert list(cache.iterdir()) == []
    assert (cached_folder("tokens", "key", writing("whole")) / "text").read_text() == "whole"


def test_of_two_processes_that_make_a_folder_at_once_the_first_one_wins(cache: Path) -> None:
    def overtaken(folder: Path) -> None:
        writing("second")(folder)
        (cache / "key").mkdir()
        writing("first")(cache / "key")

    assert (cached_folder("tokens", "key", overtaken) / "text").read_text() == "first"
    assert [path.name for path in cache.iterdir()] == ["key"]


def test_a_cache_that_cannot_be_written_says_which_variable_names_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("RLSP_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(NotReadyError, match=r"cannot be written .*RLSP_CACHE_DIR"):
        cached_folder("tokens", "key", writing(""))


def test_folders_that_were_not_used_for_a_month_are_removed(cache: Path) -> None:
    old, used = (cached_folder("tokens", key, writing("")) for key in ("old", "used"))
    for folder in (old, used):
        os.utime(folder, (0, 0))
    assert cached_folder("tokens", "used", writing("")) == used
    cached_folder("tokens", "new", writing(""))
    assert {path.name for path in cache.iterdir()} == {"used", "new"}


def test_the_cache_is_where_the_system_keeps_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RLSP_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert cache_home() == Path("/caches/rlsp")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_home() == Path.home() / ".cache" / "rlsp"


def test_a_training_that_is_running_may_lose_its_cache() -> None:
    store = tokenised(TRACES, PLAIN, byte_tokenizer())
    before = [store[row] for row in range(len(store))]
    shutil.rmtree(cache_home())
    assert [store[row] for row in range(len(store))] == before
