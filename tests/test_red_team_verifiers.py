"""Odd text from models, servers, files and plugins: the outcome of one sample, and never obeyed by a terminal."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rlsp_cli.errors import DataError, NotReadyError, UsageError
from rlsp_cli.evals.samplers import (
    Decoding,
    EndpointSampler,
    ReplaySampler,
    Request,
    answers,
    endpoint,
)
from rlsp_cli.evals.saved_answers import read_answers
from rlsp_cli.http import retry_after
from rlsp_cli.outside import read_json, strict_json
from rlsp_cli.rewards.call import Call, Use
from rlsp_cli.rewards.pool import Pool
from rlsp_cli.rewards.registry import get_plugin
from rlsp_cli.rewards.sample import Sample, Score
from rlsp_cli.rewards.worker import run_plugin
from rlsp_cli.runs.stream import append_rows, read_rows
from rlsp_cli.terminal import printable
from tests.conftest import rlsp
from tests.openai_server import Reply, chat, serving

ESCAPE = "\x1b]0;PWN\x07\x1b[2J\x1b[31mX\x9b1m\x7f\u202eY"
DEEP = "[" * 100_000
EMOJI = "\U0001f600"
SETUP = "CREATE TABLE t (a INTEGER); INSERT INTO t VALUES (1), (2);"


def judged(name: str, response: str, reference: str | None = "4", **metadata: Any) -> Score:
    """What a verifier gives, as its process would answer; without a process."""
    use = {"kind": "verifier", "reference": name, "files": [], "takes_group": False}
    options = get_plugin("verifier", name).options.model_validate({}).model_dump()
    found, _ = run_plugin(
        {**use, "options": options}, [Sample("", response, reference, metadata=metadata)]
    )
    return Score(name, **json.loads(json.dumps(found["outcomes"][0])))


# --- verifiers: what a model may write is right or wrong, never an error that it can choose
# -------------------------

METADATA: dict[str, Any] = {
    "numbers": [1, 3],
    "setup": SETUP,
    "constraints": [{"json": True}],
    "instructions": [{"id": "detectable_format:json_format"}, {"id": "detectable_format:title"}],
    "entry": {"question": "", "answer": "4", "metadata": {"source_dataset": "basic_arithmetic"}},
}
REFERENCES = {
    "json_schema": '{"type": "object"}',
    "sql_result": "SELECT a FROM t",
    "code_exec": '["assert f() == 1"]',
}
FENCES = {
    "code_exec": "```python\n{}\n```",
    "sql_result": "```sql\n{}\n```",
    "json_schema": "```json\n{}\n```",
}
ODD = {
    "half a character": "\ud83d",
    "NUL": "a\x00b",
    "escapes": ESCAPE,
    "open brackets": DEEP,
    "objects": '{"a":' * 3000,
    "NaN": "NaN",
    "an enormous number": "9" * 5000,
    "an enormous exponent": "1e99999999",
    "right to left": "\u202e5\u202c",
    "nothing": "",
    "blanks": " " * 100_000,
}


@pytest.mark.parametrize("text", ODD.values(), ids=ODD)
@pytest.mark.parametrize(
    "name",
    [
        "countdown",
        "exact_match",
        "ifeval",
        "instruction_constraints",
        "json_schema",
        "numeric",
        "sql_result",
    ],
)
def test_odd_answers_are_wrong_and_no_errors(name: str, text: str) -> None:
    response = FENCES.get(name, "{}" if "i" in name[:2] else "\\boxed{{{}}}").replace("{}", text)
    found = judged(name, response, REFERENCES.get(name, "4"), **METADATA)
    assert (found.outcome, found.value) == ("value", 0.0), found.reason


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ('{"a": 1}', True),
        ("[" * 90 + "]" * 90, True),
        ("[" * 101 + "]" * 101, False),
        ('{"a": 1e999}', False),
        ('{"a": -1e999}', False),
        ('{"a": 1' + "0" * 400 + "}", False),
        ('{"a": 1' + "0" * 300 + "}", True),
        ('{"a": Infinity}', False),
        ('{"a": NaN}', False),
        ('{"a": 1, "a": 2}', False),
        ('{"a": "\\ud800"}', True),
        ("9" * 5000, False),
    ],
)
def test_json_that_is_judged_is_strict(text: str, right: bool) -> None:
    recursive = '{"items": {"$ref": "#"}, "additionalProperties": {"$ref": "#"}}'
    assert judged("json_schema", text, recursive).value == right
    assert judged("instruction_constraints", text, constraints=[{"json": True}]).value == right


def test_a_schema_without_an_end_is_the_datas_fault() -> None:
    assert judged("json_schema", "{}", '{"$ref": "#"}').outcome == "error"
    assert judged("json_schema", "{}", '{"type": 3}').outcome == "error"


ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT 1 FROM n) SELECT x FROM n"
MANY = f"SELECT * FROM ({ENDLESS} LIMIT 150000)"


@pytest.mark.parametrize(
    ("query", "reference", "outcome"),
    [
        (ENDLESS, "SELECT a FROM t", 0.0),
        (ENDLESS, f"SELECT * FROM ({ENDLESS} LIMIT 99999)", 0.0),
        ("SELECT a FROM t UNION ALL SELECT 1", "SELECT a FROM t", 0.0),
        (MANY, MANY, None),
        ("SELECT '\ud800'", "SELECT a FROM t", 0.0),
        ("SELECT 1\x00", "SELECT a FROM t", 0.0),
        ("SELECT zeroblob(2000000000)", "SELECT a FROM t", 0.0),
        ("SELECT CAST(x'ff' AS TEXT)", "SELECT a FROM t", 0.0),
        ("ATTACH 'x.db' AS x", "SELECT a FROM t", 0.0),
        ("SELECT a FROM t; DROP TABLE t", "SELECT a FROM t", 0.0),
        ("PRAGMA writable_schema=1", "SELECT a FROM t", 0.0),
        ("-- nothing", "SELECT a FROM t", 0.0),
        ("SELECT " + "(" * 5000 + "1" + ")" * 5000, "SELECT a FROM t", 0.0),
        ("SELECT a FROM t", "SELECT a FROM t", 1.0),
    ],
)
def test_a_query_gives_the_rows_of_the_reference_and_no_more(
    query: str, reference: str, outcome: float | None
) -> None:
    found = judged("sql_result", f"```sql\n{query}\n```", reference, setup=SETUP)
    assert found.value == outcome and (found.outcome == "error") == (outcome is None)


LONG: dict[str, tuple[str, dict[str, Any], str]] = {
    "bullets": (
        "detectable_format:number_bullet_lists",
        {"num_bullets": 1},
        "a" + "\n" * 300_000 + "b",
    ),
    "bullets and blanks": (
        "detectable_format:number_bullet_lists",
        {"num_bullets": 1},
        "a" + "\n  " * 200_000 + "b",
    ),
    "placeholders": (
        "detectable_content:number_placeholders",
        {"num_placeholders": 1},
        "[" * 300_000,
    ),
    "title": ("detectable_format:title", {}, "<<" * 150_000),
    "one title": ("detectable_format:title", {}, "<<" + "a" * 300_000),
    "highlights": (
        "detectable_format:number_highlighted_sections",
        {"num_highlights": 1},
        "*a\n" * 100_000,
    ),
    "paragraphs": (
        "length_constraints:number_paragraphs",
        {"num_paragraphs": 2},
        "a" + " " * 300_000 + "b",
    ),
    "sections": (
        "detectable_format:multiple_sections",
        {"section_spliter": "S", "num_sections": 1},
        "S " * 150_000,
    ),
    "postscript": ("detectable_content:postscript", {"postscript_marker": "P.S."}, "p. " * 100_000),
    "sentences": (
        "length_constraints:number_sentences",
        {"num_sentences": 3, "relation": "at least"},
        "." * 300_000,
    ),
    "words": (
        "change_case:capital_word_frequency",
        {"capital_frequency": 1, "capital_relation": "at least"},
        "a" * 300_000,
    ),
}


@pytest.mark.integration
def test_no_check_of_ifeval_takes_longer_than_the_text_is_long() -> None:
    """Where the time grows with the square of a text, these would take minutes."""
    use = Use("verifier", "ifeval", {"partial": False})
    samples = [
        Sample("", text, metadata={"instructions": [{"id": id, **given}]})
        for id, given, text in LONG.values()
    ]
    samples.append(Sample("", LONG["bullets"][2], metadata={"constraints": [{"bullets": 1}]}))
    uses = [use] * len(LONG) + [Use("verifier", "instruction_constraints", {"all_of_them": False})]
    with Pool([use, uses[-1]], 1, 60.0, 4.0) as pool:
        found = pool.map([Call(one, (sample,)) for one, sample in zip(uses, samples, strict=True)])
    assert {
        name: one.value for name, (one,) in zip([*LONG, "constraint"], found, strict=True)
    } == dict.fromkeys([*LONG, "constraint"], 0.0)


def test_what_a_plugin_says_is_kept_as_text_whatever_it_is(tmp_path: Path) -> None:
    plugin = tmp_path / "says.py"
    plugin.write_text(
        "from rlsp_cli.rewards import CheckedVerdict, Sample, Verdict, verifier\n"
        "SAID = {'half': '\\ud800', 'nan': float('nan'), 'object': {'a': float('inf')}, 'none': None}\n"
        "@verifier\n"
        "def says(sample: Sample) -> Verdict | CheckedVerdict:\n"
        "    print('\\ud83d', sample.response)\n"
        "    said = SAID[sample.response]\n"
        "    return CheckedVerdict(True, said, {'each': [1, 0]}) if said is None else Verdict(True, said)\n"
    )
    use = Use("verifier", f"{plugin}:says", {})
    with Pool([use], 1, 20.0, 2.0) as pool:
        found = [
            one
            for (one,) in pool.map(
                [Call(use, (Sample("", name),)) for name in ("half", "nan", "object", "none")]
            )
        ]
    assert [one.answer for one in found] == ["\ufffd", "nan", "{'a': inf}", None]
    assert [one.value for one in found] == [1.0] * 4 and found[3].checks == {"each": [True, False]}
    append_rows(tmp_path / "rows.jsonl", [one.to_row() for one in found])


# --- files: each row is read, or refused with its place
# --------------------------------------------------------------


def test_a_row_with_half_a_character_is_read_and_written_like_any_other(tmp_path: Path) -> None:
    file = tmp_path / "r.jsonl"
    file.write_text(
        '{"id": "q", "response": "\\ud83d \\\\boxed{1}", "\\udc00": ["\\ud83d\\ude00"]}\n'
    )
    (found,) = ReplaySampler.from_file(file).responses["q"]
    assert found.text == "\ufffd \\boxed{1}"
    append_rows(tmp_path / "w.jsonl", [{"kept": "\ud83d and \U0001f600"}])
    assert list(read_rows(tmp_path / "w.jsonl")) == [{"kept": "\ud83d and \U0001f600"}]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"id": "q", "response": ' + DEEP, ":1:1: not valid JSON: nested in more than 100 levels"),
        ('{"id": "q", "response": ' + "9" * 5000 + "}", ":1:1: not valid JSON: Exceeds the limit"),
        (
            b'{"id": "q", "response": "\xff"}',
            ":1:1: not valid JSON: 'utf-8' codec can't decode byte 0xff",
        ),
        ('{"id": "q", "response": "a", "num_tokens": NaN}', "num_tokens holds float"),
        ('{"id": "q", "response": "a", "num_tokens": -1}', "num_tokens is -1"),
        (f'{{"id": "q", "response": "a", "num_tokens": {10**400}}}', "num_tokens is 1000"),
        ('{"id": "q", "response": "a", "scores": {"rm": NaN}}', "the score rm is nan"),
        (f'{{"id": "q", "response": "a", "scores": {{"rm": {10**400}}}}}', "the score rm is 1000"),
        ('{"id": "q", "response": "a", "scores": {"rm": true}}', "the score rm is True"),
    ],
)
def test_a_line_that_cannot_be_read_is_named(tmp_path: Path, line: str | bytes, words: str) -> None:
    file = tmp_path / "r.jsonl"
    file.write_bytes(line if isinstance(line, bytes) else line.encode())
    with pytest.raises(DataError) as error:
        ReplaySampler.from_file(file)
    assert f"{file}:1" in str(error.value) and words in str(error.value)


@pytest.mark.parametrize(
    "correctness", ["5", "[]", "{}", '{"value": NaN}', '{"value": "1"}', "null"]
)
def test_rows_that_no_evaluation_wrote_are_not_compared(tmp_path: Path, correctness: str) -> None:
    file = tmp_path / "samples.jsonl"
    file.write_text(f'{{"id": "q", "kind": "greedy", "correctness": {correctness}}}\n')
    with pytest.raises(DataError, match=r"samples\.jsonl:1: damaged: correctness"):
        read_answers(file)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999"])
@pytest.mark.parametrize("column", ["problem", "answer"])
def test_nan_is_no_reference_and_is_refused_with_its_place(
    tmp_path: Path, column: str, value: str
) -> None:
    row = {"id": '"p1"', "problem": '"a"', "answer": "4"} | {column: value}
    data = tmp_path / "b.jsonl"
    data.write_text("{" + ", ".join(f'"{key}": {text}' for key, text in row.items()) + "}\n")
    with pytest.raises(
        DataError,
        match=rf"b\.jsonl:1: column '{column}' holds -?(nan|inf), expected a number or text",
    ):
        bench_of(data)


def test_nan_in_another_column_is_nothing(tmp_path: Path) -> None:
    data = tmp_path / "b.jsonl"
    data.write_text(
        '{"id": "p1", "problem": "a", "answer": "nan", "level": NaN, "most": Infinity}\n'
    )
    (problem,) = bench_of(data)
    assert problem.answer == "nan" and problem.metadata == {"level": None, "most": "Infinity"}


def test_a_csv_file_may_hold_long_texts_and_names_what_is_no_text(tmp_path: Path) -> None:
    data = tmp_path / "b.csv"
    data.write_text("problem,answer\n" + "x" * 200_000 + ",4\n")
    assert len(bench_of(data)[0].problem) == 200_000
    data.write_bytes(b"problem,answer\na,1\n\xff,2\n")
    with pytest.raises(DataError, match=r"b\.csv:\d: not valid CSV: 'utf-8' codec"):
        bench_of(data)


def bench_of(data: Path) -> Any:
    from rlsp_cli.data import problems_of, source_rows
    from rlsp_cli.recipe.rows import Prompts

    prompts = Prompts(source=str(data))
    return problems_of(source_rows(prompts), prompts)


@pytest.mark.parametrize(
    "text", [DEEP, '{"a":' * 100_000, "[" * 101 + "]" * 101, "9" * 5000, b"\xff", "\ufeff{}", ""]
)
def test_json_that_cannot_be_read_is_always_the_same_error(text: str | bytes) -> None:
    with pytest.raises(json.JSONDecodeError):
        read_json(text)
    with pytest.raises(json.JSONDecodeError):
        strict_json(text)  # type: ignore[arg-type]


# --- servers: an odd reply costs its sample, or ends in a line that names the server
# ---------------------------------

DECODING = Decoding(temperature=0.0, top_p=1.0, max_new_tokens=8, seed=1, logprobs=True)


def asked(reply: Callable[[], Reply], prompt: str = "1+1", **options: Any) -> Any:
    with serving(lambda _: reply()) as server:
        (found,) = answers(
            EndpointSampler(server.url, "m", **options), [Request("q", prompt)], DECODING
        )
    return found


@pytest.fixture
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "_PAUSES_S", (0,) * len(endpoint._PAUSES_S))


@pytest.mark.parametrize(
    "tokens", ["12", "NaN", None, True, -1, 1.5, 10**400, [3], {"a": 1}, float("nan"), float("inf")]
)
def test_a_server_that_counts_in_odd_numbers_has_not_counted(tokens: Any) -> None:
    status, headers, body = chat("\\boxed{2}")
    assert (
        asked(lambda: (status, headers, body | {"usage": {"completion_tokens": tokens}})).num_tokens
        is None
    )


@pytest.mark.parametrize("usage", [None, [], "12", 7, [{"completion_tokens": 3}]])
def test_usage_that_is_no_object_is_no_count(usage: Any) -> None:
    status, headers, body = chat("\\boxed{2}")
    found = asked(lambda: (status, headers, body | {"usage": usage}))
    assert (found.text, found.num_tokens) == ("\\boxed{2}", None)


@pytest.mark.parametrize("logprob", ["NaN", None, float("nan"), float("inf"), 10**400, [1]])
def test_odd_log_probabilities_are_no_score(logprob: Any) -> None:
    assert (
        asked(
            lambda: chat("a", logprobs={"content": [{"logprob": -1.0}, {"logprob": logprob}]})
        ).scores
        == {}
    )
    assert asked(lambda: chat("a", logprobs=[1])).scores == {}
    assert asked(
        lambda: chat("a", logprobs={"content": [{"logprob": -1.0}, {"logprob": -2}]})
    ).scores == {"logprob": -3}


@pytest.mark.usefixtures("_no_pauses")
@pytest.mark.parametrize(
    "body",
    [
        DEEP,
        "[1, 2",
        "<html>",
        '{"choices": []}',
        '{"choices": "ab"}',
        '{"choices": [{"text": 7}]}',
        "null",
        "\x1b[2J",
    ],
)
def test_a_reply_that_cannot_be_read_ends_in_a_line_that_names_the_server(body: str) -> None:
    with serving(lambda _: (200, {}, body)) as server, pytest.raises(NotReadyError) as error:
        answers(EndpointSampler(server.url, "m"), [Request("q", "1+1")], DECODING)
    assert str(error.value).startswith(f"{server.url}/chat/completions: problem 'q': ")
    assert len(str(error.value)) < 400 and "\x1b" not in str(error.value)


def test_half_a_character_in_a_reply_or_a_prompt_is_a_response_like_any_other() -> None:
    assert (
        asked(lambda: (200, {}, '{"choices": [{"message": {"content": "\\ud83d 4"}}]}')).text
        == "\ufffd 4"
    )
    assert asked(lambda: chat("4"), prompt="\ud83d").text == "4"
    assert (
        asked(lambda: (200, {}, '{"choices": [{"text": null}]}'), encode=lambda _: [1]).text == ""
    )


@pytest.mark.parametrize(
    ("said", "seconds"), [("7", 7), ("9" * 400, 3600), ("-1", 1), ("nan", 1), ("²", 1), ("soon", 1)]
)
def test_the_time_that_a_server_asks_for_is_read_with_care(said: str, seconds: float) -> None:
    assert retry_after(said) == seconds


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_key_goes_where_a_server_points(
    status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    judge = get_plugin("exploration_reward", "llm_judge").function
    with serving(lambda _: chat('{"score": 10}')) as thief:
        elsewhere = {"Location": thief.url.replace("127.0.0.1", "localhost") + "/chat/completions"}
        with serving(lambda _: (status, elsewhere, "")) as server:
            with pytest.raises(NotReadyError, match=f"HTTP {status}"):
                answers(EndpointSampler(server.url, "m"), [Request("q", "1+1")], DECODING)
            with pytest.raises(ConnectionError, match=f"HTTP {status}"):
                judge(Sample("", "I tried."), base_url=server.url, cache=str(tmp_path / "j.sqlite"))
        assert len(server.asked) == 2 and thief.asked == []


@pytest.mark.parametrize("key", ["sk-secret\nX-Other: 1", "sk-sécret", "sk-secret\x00"])
def test_a_key_that_no_header_can_have_is_refused_without_being_shown(
    key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", {**os.environ, "OPENAI_API_KEY": key})
    with pytest.raises(UsageError, match="OPENAI_API_KEY holds no key") as error:
        EndpointSampler("http://127.0.0.1:1/v1", "m")
    assert "sk-" not in str(error.value)
    judge = get_plugin("exploration_reward", "llm_judge").function
    with pytest.raises(ValueError, match="OPENAI_API_KEY holds no key"):
        judge(
            Sample("", "I tried."),
            base_url="http://127.0.0.1:1/v1",
            cache=str(tmp_path / "j.sqlite"),
        )


def test_a_key_may_end_in_a_line_end_as_files_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret\n")
    with serving(lambda _: chat("4")) as server:
        answers(EndpointSampler(server.url, "m"), [Request("q", "1+1")], DECODING)
    assert server.asked[0]["key"] == "Bearer sk-secret"


@pytest.mark.usefixtures("_no_pauses")
def test_a_reply_that_is_packed_wrongly_is_no_reply() -> None:
    packed = {"Content-Encoding": "gzip"}
    with (
        serving(lambda _: (200, packed, "no gzip")) as server,
        pytest.raises(NotReadyError, match=server.url),
    ):
        answers(EndpointSampler(server.url, "m"), [Request("q", "1+1")], DECODING)


@pytest.mark.parametrize(
    "said",
    [
        '{"score": 1, "score": 10}',
        '{"score": NaN}',
        '{"score": 1e999}',
        '{"score": ' + DEEP,
        DEEP,
        "[10]",
    ],
)
def test_a_grade_that_is_not_exactly_one_is_an_error(said: str, tmp_path: Path) -> None:
    judge = get_plugin("exploration_reward", "llm_judge").function
    with (
        serving(lambda _: chat(said)) as server,
        pytest.raises(ValueError, match=r"repeated|NaN|1e999|nested|the judge said"),
    ):
        judge(Sample("", "\ud83d I tried."), base_url=server.url, cache=str(tmp_path / "j.sqlite"))


# --- the terminal: nothing that others wrote is obeyed, and no encoding ends a command
# --------------------------------


def test_what_a_terminal_would_obey_is_spelled_out() -> None:
    assert (
        printable("a\x1b[2Jb\x9bc\x7f\u202e\ud83d") == "a\\u001b[2Jb\\u009bc\\u007f\\u202e\\ud83d"
    )
    assert printable("tab\tline\nend\r\nback\rto") == "tab\tline\nend\r\nback\\u000dto"
    assert printable("für 12 € 數 👩‍🔬 עברית") == "für 12 € 數 👩‍🔬 עברית"
    assert printable("x" * 50, 10) == f"{'x' * 10}... (50 characters)"
    assert json.loads(printable(json.dumps({"a": "\x9b\u202e\x7f"}, ensure_ascii=False))) == {
        "a": "\x9b\u202e\x7f"
    }


def is_harmless(text: str) -> bool:
    return all(character.isprintable() or character in "\n\t\u200d" for character in text)


@pytest.fixture
def odd_folder(tmp_path: Path) -> Path:
    """A bench, responses with odd text, and a plugin whose error has escapes and 5 MB."""
    (tmp_path / "b.yaml").write_text(
        "name: b\ndescription: Odd.\nproblems: 2\nsource: ./b.jsonl\n"
        "prompt: {template: '{problem}', origin: ours}\nverifier: {use: exact_match}\n"
        "sampling: {samples: 0, temperature: 0.7, top_p: 1.0, max_new_tokens: 16, origin: ours}\n"
    )
    rows = [{"id": n, "problem": ESCAPE, "answer": "X"} for n in ("a", EMOJI)]
    said = [
        {"id": "a", "response": f"\ud83d\\boxed{{{ESCAPE}}}"},
        {"id": EMOJI, "response": "wait \U0001f600 \\boxed{X}"},
    ]
    for name, lines in (("b.jsonl", rows), ("r.jsonl", said)):
        (tmp_path / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    samples = [{**one, "reference": "X", "prompt": "\ud83d"} for one in said]
    (tmp_path / "s.jsonl").write_text("".join(json.dumps(line) + "\n" for line in samples))
    (tmp_path / "angry.py").write_text(
        "from rlsp_cli.rewards import Sample, verifier\n"
        "@verifier\ndef angry(sample: Sample) -> bool:\n    raise ValueError('\\x1b[31m' + 'x' * 5_000_000)\n"
    )
    return tmp_path


@pytest.mark.integration
def test_no_command_shows_odd_text_raw_and_all_of_them_end_well(odd_folder: Path) -> None:
    commands: list[list[str]] = [
        ["eval", "--bench", "b.yaml", "--responses", "r.jsonl", "--out", "run"],
        ["benches", "show", "b.yaml"],
        ["behaviour", "run"],
        ["behaviour", "s.jsonl", "--json"],
        ["reward", "try", "--verifier", "exact_match", "--samples", "s.jsonl"],
        ["reward", "try", "--verifier", "exact_match", "--samples", "s.jsonl", "--json"],
        ["reward", "try", "--verifier", "./angry.py:angry", "--samples", "s.jsonl"],
        [
            "reward",
            "try",
            "--verifier",
            "exact_match",
            "--response",
            f"\udcff{ESCAPE}",
            "--reference",
            "4",
        ],
    ]
    for command in commands:
        done = rlsp(*command, cwd=odd_folder)
        assert is_harmless(done.stdout) and is_harmless(done.stderr), command
        assert len(done.stdout) < 30_000
        if "--json" in command:
            json.loads(done.stdout)
    results = json.loads((odd_folder / "run" / "eval" / "results.json").read_text())["data"][
        "benches"
    ]["b"]
    assert (results["avg"], results["errors"]) == (0.5, 0)


@pytest.mark.integration
def test_a_file_whose_name_would_be_obeyed_is_spelled_out_in_the_error(tmp_path: Path) -> None:
    done = rlsp("benches", "show", f"./{ESCAPE}.yaml", cwd=tmp_path, check=False)
    assert done.returncode == 3 and is_harmless(done.stderr) and "\\u001b[2J" in done.stderr


@pytest.mark.integration
def test_an_ascii_terminal_ends_no_command(odd_folder: Path) -> None:
    environment = {**os.environ, "LC_ALL": "C", "PYTHONIOENCODING": "ascii"}
    for more in ([], ["--json"]):
        command = ["reward", "try", "--verifier", "exact_match", "--samples", "s.jsonl", *more]
        done = subprocess.run(
            [sys.executable, "-m", "rlsp_cli", *command],
            capture_output=True,
            env=environment,
            cwd=odd_folder,
            check=True,
        )
        assert done.stdout.isascii() and done.stderr == b""
    assert [one["id"] for one in json.loads(done.stdout)["data"]] == ["a", EMOJI]
