"""Servers that answer: each answer is asked for once and kept, whatever happens to the server or to us."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from rlsp_cli.errors import NotReadyError, StoppedError
from rlsp_cli.evals.samplers import Decoding, EndpointSampler, Request, Response, answers, endpoint
from rlsp_cli.http import retry_after
from tests.conftest import rlsp
from tests.openai_server import Reply, Server, chat, serving

DECODING = Decoding(temperature=0.7, top_p=0.9, max_new_tokens=64, seed=5)
BENCH = """\
name: sums
description: Sums that the test's server knows.
problems: {problems}
source: ./sums.jsonl
prompt: {{template: "{{problem}}", origin: ours}}
verifier: {{use: exact_match}}
sampling: {{samples: {samples}, temperature: 0.7, top_p: 1.0, max_new_tokens: 16, origin: ours}}
"""


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "_PAUSES_S", (0,) * len(endpoint._PAUSES_S))


def requests(many: int) -> list[Request]:
    return [Request(str(n), f"1+{n}", system="Be brief.") for n in range(many)]


def bench(folder: Path, problems: int, samples: int) -> Path:
    """A bench of sums as a file, with its data."""
    rows = [{"id": str(n), "problem": f"1+{n}", "answer": str(n + 1)} for n in range(problems)]
    (folder / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "sums.yaml").write_text(BENCH.format(problems=problems, samples=samples))
    return folder / "sums.yaml"


def right(body: dict[str, Any]) -> Reply:
    """The sum that was asked for."""
    a, b = body["messages"][-1]["content"].split("+")
    return chat(f"\\boxed{{{int(a) + int(b)}}}")


def test_as_many_requests_are_under_way_as_was_said_and_each_has_its_own_seed() -> None:
    with serving(right, seconds=0.05) as server:
        found = answers(EndpointSampler(server.url, "m", batch=8), requests(40), DECODING)
    assert [response.text for response in found] == [f"\\boxed{{{n + 1}}}" for n in range(40)]
    assert server.most == 8 and len({asked["seed"] for asked in server.asked}) == 40
    asked = server.asked[0]
    assert asked["path"] == "/v1/chat/completions" and asked["model"] == "m"
    assert (asked["temperature"], asked["top_p"], asked["max_tokens"]) == (0.7, 0.9, 64)
    assert asked["messages"][0] == {"role": "system", "content": "Be brief."}


def test_a_server_that_is_busy_is_left_alone_as_long_as_it_says() -> None:
    replies = iter([(429, {"Retry-After": "1"}, "slow down")])
    with serving(lambda body: next(replies, None) or right(body)) as server:
        started = time.monotonic()
        found = answers(EndpointSampler(server.url, "m", batch=1), requests(3), DECODING)
    assert len(found) == 3 and len(server.asked) == 4
    assert time.monotonic() - started >= 1.0


def test_retry_after_is_a_number_or_a_date() -> None:
    soon = datetime.now(UTC) + timedelta(seconds=90)
    assert retry_after("7") == 7.0
    assert 80 < retry_after(format_datetime(soon, usegmt=True)) <= 90
    assert retry_after("soon") == retry_after("") == 1.0


def broken() -> Iterator[Reply]:
    yield 503, {}, "starting"
    yield 200, {}, "no JSON"
    yield 200, {}, {"choices": []}
    yield 200, {}, {"choices": [{"message": {"content": 7}}]}


def test_what_is_no_completion_is_asked_for_again() -> None:
    replies = broken()
    with serving(lambda body: next(replies, None) or right(body)) as server:
        (found,) = answers(EndpointSampler(server.url, "m"), requests(1), DECODING)
    assert found == Response("\\boxed{1}", 1) and len(server.asked) == 5


def test_what_stays_wrong_is_one_line_with_the_problem() -> None:
    with (
        serving(lambda _: (200, {}, {"error": "no model"})) as server,
        pytest.raises(NotReadyError) as error,
    ):
        answers(EndpointSampler(server.url, "m"), requests(1), DECODING)
    assert (
        "problem '0': '{\"error\": \"no model\"}' is no completion; is this the right URL?"
        in str(error.value)
    )
    assert len(server.asked) == endpoint._TRIES
    with (
        serving(lambda _: (400, {}, "prompt too long")) as server,
        pytest.raises(NotReadyError) as error,
    ):
        answers(EndpointSampler(server.url, "m", batch=1), requests(9), DECODING)
    assert "HTTP 400: prompt too long" in str(error.value) and len(server.asked) == 1
    no_template = {"error": {"message": "you must provide a chat template", "code": 400}}
    with serving(lambda _: (400, {}, no_template)) as server, pytest.raises(NotReadyError) as error:
        answers(EndpointSampler(server.url, "m"), requests(1), DECODING)
    assert "HTTP 400: you must provide a chat template; start the server with" in str(error.value)


def test_empty_cut_off_thinking_and_huge_completions_are_responses() -> None:
    long = "x" * (1 << 20)
    replies: list[Reply] = [
        chat("", finish_reason="length"),
        chat(None),
        (200, {}, {"choices": [{"message": {"content": "4", "reasoning_content": "2+2"}}]}),
        chat(long),
    ]
    with serving(lambda _: replies.pop(0)) as server:
        found = answers(EndpointSampler(server.url, "m", batch=1), requests(4), DECODING)
    assert found[:2] == [Response("", 1, True), Response("", 1)]
    assert found[2:] == [Response("<think>\n2+2\n</think>\n\n4", None), Response(long, 1)]


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"reasoning": "2+2\n", "content": "\n\n4"}, "<think>\n2+2\n</think>\n\n4"),
        ({"content": "2+2\n</think>\n\n4"}, "<think>\n2+2\n</think>\n\n4"),
        (
            {"content": [{"type": "thinking", "thinking": "2+2"}, {"type": "text", "text": "4"}]},
            "<think>\n2+2\n</think>\n\n4",
        ),
        ({"reasoning_content": "is it 4?", "content": None}, "<think>\nis it 4?"),
        ({"reasoning": "is it 4?", "content": ""}, "<think>\nis it 4?"),
        ({"content": "4", "reasoning": None, "annotations": ["x"]}, "4"),
        (
            {
                "content": "4",
                "reasoning_details": [{"type": "reasoning.encrypted", "data": "c2VjcmV0"}],
            },
            "4",
        ),
    ],
)
def test_a_chat_reply_is_the_text_that_a_completion_would_be(
    message: dict[str, Any], text: str
) -> None:
    with serving(
        lambda _: (200, {}, {"choices": [{"message": message, "finish_reason": "length"}]})
    ) as server:
        (found,) = answers(EndpointSampler(server.url, "m"), requests(1), DECODING)
    assert found == Response(text, None, True)


def test_a_reply_with_parts_that_are_not_known_names_them() -> None:
    message = {"content": [{"type": "refusal", "refusal": "no"}]}
    with (
        serving(lambda _: (200, {}, {"choices": [{"message": message}]})) as server,
        pytest.raises(
            NotReadyError, match="the reply cannot be read: a part of type 'refusal' is not known"
        ),
    ):
        answers(EndpointSampler(server.url, "m"), requests(1), DECODING)


def test_a_completion_of_our_own_prompt_has_the_tag_that_the_prompt_opened() -> None:
    asked = [
        Request("0", "1+1<think>\n"),
        Request("1", "1+1<think>\n", prefix="<think>\nhm"),
        Request("2", "1+1"),
    ]
    reply: Reply = (200, {}, {"choices": [{"text": "2</think>4"}]})
    with serving(lambda _: reply) as server:
        sampler = EndpointSampler(
            server.url, "m", encode=lambda _: [1], options={"stop_token_ids": [7]}
        )
        found = [response.text for response in answers(sampler, asked, DECODING)]
    assert found == ["<think>\n2</think>4", "2</think>4", "2</think>4"]
    assert all(body["stop_token_ids"] == [7] for body in server.asked)


@pytest.mark.parametrize(
    ("prefix", "message", "text"),
    [
        ("<think>\nhm Wait", {"reasoning": "2+2", "content": "4"}, "2+2\n</think>\n\n4"),
        ("<think>\nhm Wait", {"reasoning": "2+2", "content": None}, "2+2"),
        ("<think>\nhm</think>\n\nFinal Answer:", {"reasoning": "4", "content": None}, "4"),
        ("hm", {"content": " 4"}, " 4"),
    ],
)
def test_a_reply_that_goes_on_with_a_prefix_opens_no_second_thinking(
    prefix: str, message: dict[str, Any], text: str
) -> None:
    with serving(lambda _: (200, {}, {"choices": [{"message": message}]})) as server:
        (found,) = answers(
            EndpointSampler(server.url, "m"), [Request("0", "1+1", prefix=prefix)], DECODING
        )
    assert found.text == text


def test_log_probabilities_are_summed_and_a_prefix_is_continued() -> None:
    tokens = [{"token": "4", "logprob": -0.25}, {"token": "", "logprob": -0.5}]
    with serving(lambda _: chat("4", logprobs={"content": tokens})) as server:
        asking = EndpointSampler(server.url, "m")
        (found,) = answers(
            asking, [Request("a", "2+2", prefix="It is")], Decoding(0, 1, 9, 0, logprobs=True)
        )
    assert found.scores == {"logprob": -0.75} and server.asked[0]["logprobs"] is True
    assert server.asked[0]["messages"][-1] == {"role": "assistant", "content": "It is"}
    assert server.asked[0]["continue_final_message"] is True
    completion = {"choices": [{"text": "4", "logprobs": {"token_logprobs": [-1.0, -2.0]}}]}
    with serving(lambda _: (200, {}, completion)) as server:
        asking = EndpointSampler(
            server.url, "m", encode=lambda request: [ord(c) for c in request.prompt]
        )
        (found,) = answers(asking, [Request("a", "2+2")], Decoding(0, 1, 9, 0, logprobs=True))
    assert found == Response("4", None, False, {"logprob": -3.0})
    assert server.asked[0]["path"] == "/v1/completions" and server.asked[0]["prompt"] == [
        50,
        43,
        50,
    ]


def test_who_stops_waits_for_nobody() -> None:
    def stop() -> None:
        raise StoppedError("stopped")

    with serving(right, seconds=30) as server, pytest.raises(StoppedError):
        answers(EndpointSampler(server.url, "m", tick=stop), requests(3), DECODING)


@pytest.mark.integration
def test_a_server_that_goes_in_mid_run_leaves_what_it_answered(tmp_path: Path) -> None:
    with serving(
        lambda body: (400, {}, "gone") if len(server.asked) > 20 else right(body)
    ) as server:
        done = rlsp(
            *("eval", "m", "--url", server.url, "--bench", bench(tmp_path, 10, 4), "--out", "run"),
            "eval.batch=4",
            cwd=tmp_path, check=False,
        )  # fmt: skip
        assert (
            done.returncode == 4
            and "HTTP 400: gone" in done.stderr
            and "Traceback" not in done.stderr
        )
        assert "--resume" in done.stderr
        known = kept(tmp_path / "run/eval/base/sums")
        server.answer = right
        server.asked.clear()
        rlsp(*("eval", "m", "--url", server.url, "--bench", "sums.yaml", "--out", "run"), "eval.batch=4",
             "--resume", cwd=tmp_path)  # fmt: skip
    assert len(known) > 10 and len(server.asked) == 50 - len(known)
    rows = (tmp_path / "run/eval/base/sums/samples.jsonl").read_text().splitlines()
    assert len(rows) == 50 and not (tmp_path / "run/eval/base/sums/waiting.jsonl").exists()


def kept(folder: Path) -> set[tuple[str, str, int]]:
    """What a killed evaluation had written down, whole lines only."""
    texts = [
        path.read_text()
        for name in ("samples", "waiting")
        if (path := folder / f"{name}.jsonl").exists()
    ]
    lines = [
        line for text in texts for line in text.splitlines(keepends=True) if line.endswith("\n")
    ]
    return {(row["id"], row["kind"], row["index"]) for row in map(json.loads, lines)}


def kill_when(server: Server, many: int, command: list[str], folder: Path) -> None:
    """Start the evaluation, and kill what was started, and that alone, when the server was asked so often."""
    running = subprocess.Popen(
        command, cwd=folder, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    while len(server.asked) < many and running.poll() is None:
        time.sleep(0.01)
    os.kill(running.pid, signal.SIGKILL)
    running.wait()


@pytest.mark.integration
def test_kill_9_again_and_again_ends_with_each_of_2000_answers_once(tmp_path: Path) -> None:
    file = bench(tmp_path, 500, 3)  # and one greedy answer to each
    with serving(right, seconds=0.02) as server:
        arguments = [
            "eval",
            "m",
            "--url",
            server.url,
            "--bench",
            str(file),
            "--out",
            "run",
            "eval.batch=16",
        ]
        command, out = (
            [sys.executable, "-m", "rlsp_cli", *arguments],
            tmp_path / "run/eval/base/sums",
        )
        known: set[tuple[str, str, int]] = set()
        for many in (300, 800, 1300, 1800):
            kill_when(server, many, command if many == 300 else [*command, "--resume"], tmp_path)
            assert known < kept(out)  # nothing that was there is lost
            known = kept(out)
        before = len(server.asked)
        card = json.loads(rlsp(*arguments, "--resume", "--json", cwd=tmp_path).stdout)["data"][
            "benches"
        ]["sums"]
    rows = [json.loads(line) for line in (out / "samples.jsonl").read_text().splitlines()]
    assert len(rows) == 2000 == len({(row["id"], row["kind"], row["index"]) for row in rows})
    assert len(server.asked) - before == 2000 - len(known)  # what was kept is not asked for again
    twice = sum(
        n - 1 for n in Counter((a["seed"], str(a["messages"])) for a in server.asked).values()
    )
    assert twice <= 4 * 16  # at most what was under way at each kill
    assert card["avg"] == 1.0 and card["samples"] == 1500


@pytest.mark.parametrize(
    ("more", "text", "stopped"),
    [
        ({}, "a step\n", True),
        ({"stop_reason": "\n"}, "a step\nand", True),
        ({"stop_reason": None}, "the end", False),
        ({"matched_stop": 151645}, "the end", False),
        ({"finish_reason": "length"}, "cut o", False),
    ],
)
def test_a_reply_says_whether_a_stop_text_ended_it(
    more: dict[str, Any], text: str, stopped: bool
) -> None:
    decoding = replace(DECODING, stop=("\n",))
    with serving(lambda _: chat(text, **more)) as server:
        (found,) = answers(EndpointSampler(server.url, "m"), requests(1), decoding)
    assert (found.text, found.stopped) == (text, stopped)
    assert server.asked[0]["stop"] == ["\n"] and server.asked[0]["include_stop_str_in_output"]


def test_a_server_that_does_not_say_why_a_reply_ended_is_refused_at_once() -> None:
    decoding = replace(DECODING, stop=("\n",))
    with (
        serving(lambda _: chat("the end")) as server,
        pytest.raises(NotReadyError, match=r"problem '0': .*stop_reason.*such as vLLM or SGLang"),
    ):
        answers(EndpointSampler(server.url, "m"), requests(1), decoding)
    assert len(server.asked) == 1


def test_a_server_that_takes_tokens_gives_those_of_its_reply() -> None:
    def reply(_: dict[str, Any]) -> Reply:
        choice = {"text": " b\n", "finish_reason": "stop", "stop_reason": "\n", "token_ids": [5, 6]}
        return 200, {}, {"choices": [choice], "usage": {"completion_tokens": 2}}

    asked = Request("a", "p", prefix="a", prefix_ids=(3,), seed=9)
    with serving(reply) as server:
        sampler = EndpointSampler(server.url, "m", encode=lambda one: [1, 2, *one.prefix_ids])
        (found,) = answers(sampler, [asked], replace(DECODING, stop=("\n",)))
    assert found == Response(" b\n", 2, stopped=True, token_ids=(5, 6))
    assert server.asked[0]["prompt"] == [1, 2, 3] and server.asked[0]["seed"] == 9
    assert server.asked[0]["return_token_ids"]
