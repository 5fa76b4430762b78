"""Thinking between tags: what a prompt has opened is said once, and what never closed has no answer."""

import json
from pathlib import Path
from typing import Any

import pytest

from rlsp_cli.evals.samplers import ReplaySampler
from rlsp_cli.rewards.answers import last_boxed, stated_answer
from rlsp_cli.rewards.fences import last_fenced
from rlsp_cli.rewards.plain import as_sample
from rlsp_cli.rewards.registry import get_plugin
from rlsp_cli.rewards.sample import Sample
from rlsp_cli.rewards.service.openrlhf import read_request
from rlsp_cli.rewards.thinking import (
    TAGS,
    begins_thinking,
    closing,
    is_open,
    learned,
    opened,
    rest,
    whole,
    with_opening,
    without_thinking,
)

ASKED = "<|im_start|>user\n2+2?<|im_end|>\n<|im_start|>assistant\n"


@pytest.mark.parametrize("tags", TAGS, ids=lambda tags: tags.open)
@pytest.mark.parametrize("blanks", ["", "\n", "\n\n", " \n"])
def test_a_response_is_seen_whole_and_its_continuation_is_found_again(
    tags: tuple[str, str], blanks: str
) -> None:
    prompt, text = f"{ASKED}{tags[0]}{blanks}", f"2 and 2\n{tags[1]}\n\n\\boxed{{4}}"
    seen = whole(prompt, text)
    assert opened(prompt) == tags[0] + blanks and seen == tags[0] + blanks + text
    assert whole(prompt, seen) == seen and rest(prompt, seen) == text
    assert last_boxed(seen) == "4" and not is_open(seen)


@pytest.mark.parametrize(
    "prompt",
    [
        ASKED,
        f"{ASKED}<think>\n\n</think>\n\n",
        "Put it between <think> and </think>.",
        "Use <think>.",
        "",
    ],
)
def test_a_prompt_opens_nothing_unless_it_ends_with_the_tag(prompt: str) -> None:
    text = "<think>a</think>4"
    assert (
        opened(prompt) == ""
        and whole(prompt, text) == text
        and rest(prompt, text) == text == learned(prompt, text)
    )


@pytest.mark.parametrize(
    ("end", "trace", "taught"),
    [
        ("<think>\n", "<think>\nhm\n</think>\n\n4", "hm\n</think>\n\n4"),
        ("<think>\n\n", "<think>\nhm\n</think>\n\n4", "hm\n</think>\n\n4"),
        ("<think>", "<think>\nhm\n</think>\n\n4", "\nhm\n</think>\n\n4"),
        ("<think>\n", " \n<think>hm</think>4", "hm</think>4"),
        ("<think>\n", "Well.\n<think>hm</think>4", "Well.\nhm</think>4"),
        ("<think>\n", "hm\n</think>\n\n4", "hm\n</think>\n\n4"),
        ("<think>\n", "4", "\n</think>\n\n4"),
        ("<think>\n\n", "4", "</think>\n\n4"),
        ("<think>", "4", "\n\n</think>\n\n4"),
        ("<thought>\n", "<think>\nhm\n</think>\n\n4", "hm\n</thought>\n\n4"),
        ("<think>\n", "hm\n</thinking>\n\n4", "hm\n</think>\n\n4"),
        (
            "<think>\n",
            "<thinking>a</thinking>b<thinking>c</thinking>d",
            "a</think>b<think>c</think>d",
        ),
        ("[THINK]", "4", "\n\n[/THINK]\n\n4"),
        ("", "hm\n</think>\n\n4", "<think>\nhm\n</think>\n\n4"),
        ("", "4", "4"),
    ],
)
def test_a_trace_teaches_what_follows_the_tag_of_its_prompt(
    end: str, trace: str, taught: str
) -> None:
    assert learned(ASKED + end, trace) == taught
    assert not end or not begins_thinking(taught)


@pytest.mark.parametrize("tags", TAGS, ids=lambda tags: tags.open)
def test_thinking_that_never_closes_has_no_answer(tags: tuple[str, str]) -> None:
    cut = f"{tags[0]}\nMaybe \\boxed{{8}}. The answer is 8.\n```python\n8\n```\nbut"
    again = f"{tags[0]}a{tags[1]}4{tags[0]}or \\boxed{{8}}"
    assert is_open(cut) and is_open(again) and closing(cut) == tags[1]
    assert [last_boxed(cut), stated_answer(cut), last_fenced(cut), without_thinking(cut)] == [
        None,
        None,
        None,
        "",
    ]
    assert last_boxed(again) is None
    assert last_boxed(f"{cut}{tags[1]} \\boxed{{4}}") == "4" and closing(f"{cut}{tags[1]}") == ""


UNCLOSED: dict[str, tuple[str, str, dict[str, Any]]] = {
    "code_exec": ("<think>```python\ndef f(): return 1\n```", '["assert f() == 1"]', {}),
    "countdown": ("<think>\\boxed{1+2}", "3", {"numbers": [1, 2]}),
    "exact_match": ("<think>\\boxed{8}", "8", {}),
    "ifeval": (
        "<think>the tea is hot today",
        "",
        {"instructions": [{"id": "change_case:english_lowercase"}]},
    ),
    "instruction_constraints": (
        "<think>tea",
        "",
        {"constraints": [{"max_words": 9}, {"include": "tea"}]},
    ),
    "json_schema": ("<think>3", "{}", {}),
    "math_verify": ("<think>\nMaybe \\boxed{8}, but the answer is 8, because", "8", {}),
    "multiple_choice": ("<think>\\boxed{B} The answer is B", "B", {}),
    "numeric": ("<think>\\boxed{8} The answer is 8", "8", {}),
    "sequence_similarity": ("<think>abcd", "abcd", {}),
    "sql_result": ("<think>```sql\nSELECT 1\n```", "SELECT 1", {"setup": ""}),
}


@pytest.mark.parametrize("name", UNCLOSED)
def test_no_verifier_takes_an_answer_from_thinking_that_never_closed(name: str) -> None:
    text, reference, metadata = UNCLOSED[name]
    verifier = get_plugin("verifier", name)
    options = verifier.options.model_validate({}).model_dump()

    def verdict(response: str) -> tuple[float, str | None]:
        found = verifier.function(Sample("", response, reference, metadata=metadata), **options)
        return float(found[0]), found[1]

    assert verdict(text) == (0.0, None)
    if name != "json_schema":  # its text after the thinking would be the whole of it
        assert verdict(text.removeprefix("<think>"))[0] == 1.0


def test_the_same_reply_has_one_verdict_however_it_came() -> None:
    tagged, parted, continued = (
        "<think>\nMaybe \\boxed{8}",
        whole(ASKED, "<think>\nMaybe \\boxed{8}"),
        whole(f"{ASKED}<think>\n", "Maybe \\boxed{8}"),
    )
    assert tagged == parted == continued and last_boxed(tagged) is None


def test_rows_of_files_and_of_openrlhf_hold_what_the_prompt_opened(tmp_path: Path) -> None:
    prompt, text = f"{ASKED}<think>\n", "2\n</think>\n\n\\boxed{4}"
    row = {"prompt": prompt, "response": text}
    sample = as_sample(row, "row 1", count=len)
    assert sample.response == f"<think>\n{text}" and sample.num_tokens == len(text)
    assert as_sample({**row, "response": sample.response}, "row 1").response == sample.response
    (tmp_path / "given.jsonl").write_text(json.dumps({"id": "a", **row}) + "\n")
    (given,) = ReplaySampler.from_file(tmp_path / "given.jsonl").responses["a"]
    assert given.text == sample.response
    body = {"query": f"{prompt}{text}<|im_end|>", "prompts": prompt, "labels": "4"}
    ((sample,), _) = read_request(body, len, ["<|im_end|>"], None)
    assert sample.response == f"<think>\n{text}" and sample.num_tokens == len(text)
    form = get_plugin("exploration_reward", "structured_format").function
    assert form(sample, tags=["think"]) == 1.0


def test_a_text_that_only_closes_gets_the_tag_that_its_prompt_had() -> None:
    assert (
        with_opening("2\n</think>\n\n4")
        == "<think>\n2\n</think>\n\n4"
        == with_opening("\n2\n</think>\n\n4")
    )
    twice = "2</think>4<think>or 5</think>5"
    assert (
        with_opening(twice) == f"<think>\n{twice}" and learned(f"{ASKED}<think>\n", twice) == twice
    )
    assert with_opening("[THINK]2[/THINK]4") == "[THINK]2[/THINK]4" and with_opening("4") == "4"
