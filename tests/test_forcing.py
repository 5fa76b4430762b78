"""Budget forcing, on a model that is a few lines: what goes on, what is ended, and what is counted."""

from collections.abc import Container, Iterator, Sequence

import pytest

from rlsp_cli.errors import DataError
from rlsp_cli.evals.samplers import Decoding, ForcedSampler, Request, Response
from rlsp_cli.recipe.strategy import Forcing
from tests.optional import present

TWICE = Forcing()
GREEDY = Decoding(temperature=0.0, top_p=1.0, max_new_tokens=64, seed=0)


class Talker:
    """Says so many words and stops, thinks between tags when asked to, and answers when told to; words are tokens."""

    def __init__(self, words: dict[str, int], tags: bool = False) -> None:
        self.words, self.tags = words, tags
        self.calls: list[tuple[list[str], int]] = []

    def answer(
        self, requests: Sequence[Request], decoding: Decoding, done: Container[int] = ()
    ) -> Iterator[tuple[int, Response]]:
        self.calls.append(([request.prefix for request in requests], decoding.max_new_tokens))
        for row, request in reversed(list(enumerate(requests))):
            said = (
                ["42"]
                if request.prefix.endswith("Final Answer:")
                else ["hm"] * self.words[request.id]
            )
            if self.tags and not request.prefix.endswith("Final Answer:"):
                said = [*said, "</think>", "41"]
            cut = said[: decoding.max_new_tokens]
            yield row, Response("".join(f" {word}" for word in cut), len(cut), len(cut) < len(said))


def forced(
    talker: Talker, forcing: Forcing = TWICE, decoding: Decoding = GREEDY
) -> dict[str, Response]:
    requests = [Request(id, f"{id}?") for id in talker.words]
    return {
        requests[row].id: found
        for row, found in ForcedSampler(talker, forcing).answer(requests, decoding)
    }


def test_a_response_that_ends_goes_on_and_all_its_parts_are_counted() -> None:
    talker = Talker({"a": 3})
    assert forced(talker) == {"a": Response(" hm hm hm Wait hm hm hm Wait hm hm hm", 9)}
    assert [prefixes for prefixes, _ in talker.calls] == [
        [""],
        [" hm hm hm Wait"],
        [" hm hm hm Wait hm hm hm Wait"],
    ]
    assert forced(Talker({"a": 3}), Forcing(waits=1))["a"].num_tokens == 6


def test_only_what_is_too_short_goes_on() -> None:
    found = forced(Talker({"a": 3, "b": 10}), Forcing(waits=5, min_tokens=8))
    assert found["a"].text.count("Wait") == 2 and found["a"].num_tokens == 9
    assert found["b"] == Response(" hm" * 10, 10)


def test_the_end_of_thinking_is_taken_off_and_its_tokens_still_count() -> None:
    found = forced(Talker({"a": 3}, tags=True), Forcing(waits=1))["a"]
    assert found == Response(" hm hm hm Wait hm hm hm </think> 41", 10)


def test_at_the_limit_the_answer_is_forced_and_the_limit_holds() -> None:
    talker = Talker({"a": 1000, "b": 20})
    found = forced(talker, Forcing(waits=9))
    assert found["a"].text.endswith(" hm\n\nFinal Answer: 42") and found["a"].num_tokens == 56 + 1
    assert not found["a"].truncated and found["b"].text.endswith("Final Answer: 42")
    assert present(found["b"].num_tokens) <= 64 and found["b"].text.count("Wait") == 2
    assert {limit for prefixes, limit in talker.calls if prefixes[0].endswith("Answer:")} == {8}


def test_a_model_that_thinks_between_tags_is_told_that_it_has_thought() -> None:
    requests = [Request("a", "a?<think>\n")]
    ((_, found),) = ForcedSampler(Talker({"a": 1000}), Forcing()).answer(requests, GREEDY)
    assert found.text.endswith("hm</think>\n\nFinal Answer: 42")


@pytest.mark.parametrize("limit", [1, 2, 5, 17, 64, 100])
def test_no_limit_is_passed_but_by_one_forced_word(limit: int) -> None:
    talker = Talker({str(n): n for n in range(1, 30)})
    found = forced(talker, Forcing(waits=20), Decoding(0.0, 1.0, limit, 0))
    assert set(found) == set(talker.words)
    assert all(0 < present(one.num_tokens) <= max(limit, 2) for one in found.values())


def test_responses_with_the_same_rest_are_asked_together() -> None:
    talker = Talker({str(n): 4 + n % 3 for n in range(30)})
    assert len(forced(talker, Forcing(waits=1))) == 30 and len(talker.calls) <= 4


def test_what_is_done_is_not_made_again() -> None:
    requests = [Request(id, "?") for id in "ab"]
    talker = Talker({"a": 1, "b": 1})
    assert [row for row, _ in ForcedSampler(talker, Forcing()).answer(requests, GREEDY, {0})] == [1]


def test_who_does_not_count_tokens_cannot_be_forced() -> None:
    class Uncounted(Talker):
        def answer(self, *arguments: object) -> Iterator[tuple[int, Response]]:
            yield 0, Response("x")

    with pytest.raises(DataError, match="problem 'a': budget forcing needs num_tokens"):
        forced(Uncounted({"a": 1}))


def test_a_tag_that_the_prompt_opened_is_said_once_and_closed_once() -> None:
    class Whole(Talker):
        """As the embedded engine answers: the first part of a response has the tag."""

        def answer(
            self, requests: Sequence[Request], decoding: Decoding, done: Container[int] = ()
        ) -> Iterator[tuple[int, Response]]:
            for row, found in super().answer(requests, decoding, done):
                tag = "" if requests[row].prefix else "[THINK]\n"
                yield row, Response(tag + found.text, found.num_tokens, found.truncated)

    ((_, found),) = ForcedSampler(Whole({"a": 1000}), Forcing()).answer(
        [Request("a", "a?[THINK]\n")], GREEDY
    )
    assert found.text.startswith("[THINK]\n hm") and found.text.endswith(
        "hm[/THINK]\n\nFinal Answer: 42"
    )
    assert found.text.count("THINK]") == 2
