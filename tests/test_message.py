"""Conversations from servers and data sets: thinking that stands apart is put between tags, and nothing is lost."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from rlsp_cli.data import Trace, trace_rows
from rlsp_cli.data.message import message_text
from rlsp_cli.errors import DataError
from rlsp_cli.recipe.rows import Traces
from tests.conftest import rlsp

WHOLE = "<think>\nhm\n</think>\n\n2"
THINKING = {"type": "thinking", "thinking": "hm", "signature": "c2ln"}
TEXT = {"type": "text", "text": "2"}


@pytest.mark.parametrize(
    "message",
    [
        {"reasoning_content": "hm", "content": "2"},
        {"reasoning": "hm", "content": "\n\n2"},
        {"thinking": "hm\n", "content": "2"},
        {"reasoning": "hm", "reasoning_content": "hm", "content": "2"},
        {
            "reasoning": "hm",
            "reasoning_details": [{"type": "reasoning.text", "text": "hm", "format": "x"}],
            "content": "2",
        },
        {"reasoning_content": "<think>\nhm\n</think>", "content": "2"},
        {"reasoning_content": "hm", "content": WHOLE},
        {"reasoning_content": None, "thinking": "", "content": WHOLE},
        {"content": [THINKING, TEXT]},
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, TEXT]},
        {
            "content": [
                {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
                TEXT,
            ]
        },
        {"reasoning_content": "hm", "content": [TEXT]},
        {"reasoning_content": "hm", "content": None, "value": "2"},
    ],
    ids=str,
)
def test_every_way_to_part_thinking_from_the_answer_gives_one_text(
    message: dict[str, Any], tmp_path: Path
) -> None:
    assert message_text(message) == WHOLE
    turns = [{"from": "human", "value": "1+1"}, {"role": "assistant", **message}]
    assert [
        trace.response for trace in read(tmp_path, {"messages": turns}, messages="messages")
    ] == [WHOLE]


def test_several_thoughts_keep_their_order_and_one_without_an_answer_stays_open() -> None:
    parts = [THINKING, TEXT, {"type": "thinking", "thinking": "or"}, {"type": "text", "text": "3"}]
    assert message_text({"content": parts}) == f"{WHOLE}\n\n<think>\nor\n</think>\n\n3"
    assert message_text({"content": [THINKING, THINKING]}) == "<think>\nhmhm"
    assert (
        message_text({"reasoning": "hm", "content": None})
        == "<think>\nhm"
        == message_text({"reasoning": "hm"})
    )
    assert (
        message_text({"reasoning": "1+1", "content": "1+1=2"}) == "<think>\n1+1\n</think>\n\n1+1=2"
    )
    assert message_text({"content": [TEXT, "3"]}) == "23" and message_text({"content": None}) == ""


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (
            {"content": "2", "analysis": "hm"},
            "field 'analysis' holds text that nothing reads, 'hm'",
        ),
        (
            {"content": "2", "tool_calls": [{"function": {"name": "add"}}]},
            "field 'tool_calls' holds text",
        ),
        (
            {"content": WHOLE, "reasoning": "other"},
            "field 'reasoning' holds text that nothing reads, 'other'",
        ),
        (
            {"content": "2", "reasoning_details": [{"type": "reasoning.encrypted", "data": "x"}]},
            "nothing reads, 'x'",
        ),
        (
            {"content": [TEXT, {"type": "tool_use", "input": "x"}]},
            "a part of type 'tool_use' is not known",
        ),
        (
            {"content": [{"type": "redacted_thinking", "data": "x"}, TEXT]},
            "'redacted_thinking' is not known",
        ),
        ({"content": 2}, "the content holds int"),
    ],
)
def test_text_of_an_answer_that_nothing_reads_is_an_error_that_names_it(
    message: dict[str, Any], words: str, tmp_path: Path
) -> None:
    row = {"messages": [{"role": "user", "content": "1+1"}, {"role": "assistant", **message}]}
    with pytest.raises(DataError) as caught:
        read(tmp_path, row, messages="messages")
    assert words in str(caught.value) and "rows.jsonl:1" in str(caught.value)


def test_what_tells_of_a_turn_or_is_in_the_answer_anyhow_does_no_harm(tmp_path: Path) -> None:
    about = {
        "id": "7",
        "model": "m",
        "weight": 1.0,
        "tool_calls": [],
        "info": {"think": "hm", "answer": "2", "x": None},
    }
    asked = {"role": "user", "content": [{"type": "text", "text": "1+1"}], "context": "a test"}
    row = {"messages": [asked, {"role": "assistant", "content": WHOLE, **about}]}
    (trace,) = read(tmp_path, row, messages="messages")
    assert (trace.prompt, trace.response) == ("1+1", WHOLE)


def test_earlier_thinking_is_left_to_the_chat_template(tmp_path: Path) -> None:
    asked, answer = (
        {"role": "user", "content": "1+1"},
        {"role": "assistant", "reasoning_content": "hm", "content": "2"},
    )
    first, second = read(
        tmp_path, {"messages": [asked, answer, asked, answer]}, messages="messages"
    )
    assert first.response == second.response == WHOLE
    assert second.turns == (("user", "1+1"), ("assistant", WHOLE), ("user", "1+1"))


def test_a_column_of_thinking_goes_before_its_response(tmp_path: Path) -> None:
    row = {"problem": "1+1", "solution": "2", "reasoning_content": "hm", "reasoning": "on"}
    assert [trace.response for trace in read(tmp_path, row)] == [WHOLE]
    assert read(tmp_path, row, response="reasoning_content")[0].response == "hm"
    for thought, answer in ((["hm"], "2"), ([{"type": "text", "text": "hm"}], "2"), ("hm", 2)):
        assert (
            read(tmp_path, {**row, "reasoning_content": thought, "solution": answer})[0].response
            == WHOLE
        )
    absent: tuple[Any, ...] = (None, "", [], math.nan)
    for nothing in absent:
        assert read(tmp_path, {**row, "reasoning_content": nothing})[0].response == "2"
    with pytest.raises(
        DataError, match=r"rows\.jsonl:1: columns 'solution' and 'reasoning_content': .* not known"
    ):
        read(tmp_path, {**row, "reasoning_content": {"a": "hm"}})
    with pytest.raises(DataError, match="no column 'response'"):
        read(tmp_path, row, response="response")


@pytest.mark.integration
def test_traces_are_made_with_the_thinking_and_without_those_that_were_cut(tmp_path: Path) -> None:
    said: list[dict[str, str | None]] = [
        {"reasoning_content": "hm", "content": "\\boxed{2}"},
        {"reasoning_content": "\\boxed{2}", "content": None},
        {"content": "<think>so \\boxed{2}"},
    ]
    rows = [
        {
            "messages": [{"role": "user", "content": f"1+1 ({n})"}, {"role": "assistant", **one}],
            "answer": "2",
        }
        for n, one in enumerate(said)
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    rlsp(
        "data",
        "traces",
        "rows.jsonl",
        "--out",
        "traces.jsonl",
        "verifier=math_verify",
        cwd=tmp_path,
    )
    made = [json.loads(line) for line in (tmp_path / "traces.jsonl").read_text().splitlines()]
    assert [row["solution"] for row in made] == ["<think>\nhm\n</think>\n\n\\boxed{2}"]
    counts = json.loads((tmp_path / "traces.card.json").read_text())["data"]["filters"]
    assert {
        why: reason["rows"] for count in counts for why, reason in count["reasons"].items()
    } == {"thinking not closed": 2}


def read(folder: Path, row: dict[str, Any], **columns: str) -> Sequence[Trace]:
    """The traces of one row."""
    source = folder / "rows.jsonl"
    source.write_text(json.dumps(row) + "\n")
    columns = {"prompt": "problem", "response": "solution"} | columns
    return list(trace_rows(Traces.model_validate({"source": str(source), **columns})))
