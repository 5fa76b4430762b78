"""`rlsp data traces`: other people's rows become demonstrations, filtered, counted and described."""

import json
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from rlsp_cli.data import Row, source_digest
from rlsp_cli.data.formats import Columns, convert, pick_format
from rlsp_cli.engine.checkpoint import save_model
from rlsp_cli.engine.model import new_model
from rlsp_cli.errors import DataError
from rlsp_cli.recipe.model import FromScratch
from rlsp_cli.runs.stream import append_rows, read_rows
from rlsp_cli.traces.keys import RejectionSampling, TraceSettings
from tests.conftest import rlsp

pytestmark = pytest.mark.integration

MARKED = (
    "<|begin_of_thought|>\n\nhm, 4?\n\n<|end_of_thought|>\n\n"
    "<|begin_of_solution|>\n\nIt is \\boxed{4}.\n\n<|end_of_solution|>"
)
DEFAULT = Columns()


def one(columns: dict[str, Any], names: Columns = DEFAULT) -> dict[str, Any]:
    row = Row("f:1", columns)
    return convert(row, "f-0", pick_format(row, names), names).to_row()


def talk(*turns: tuple[str, str], who: str = "from", what: str = "value") -> list[dict[str, str]]:
    return [{who: role, what: text} for role, text in turns]


def make(folder: Path, rows: list[dict[str, Any]], *arguments: object, check: bool = True) -> Any:
    """The card and the rows that were written; the finished process when `check` is False."""
    (folder / "in.jsonl").unlink(missing_ok=True)
    append_rows(folder / "in.jsonl", rows)
    done = rlsp(
        "data",
        "traces",
        "in.jsonl",
        "--out",
        "out.jsonl",
        "--json",
        *arguments,
        cwd=folder,
        check=check,
    )
    if not check:
        return done
    document = json.loads(done.stdout)
    assert (
        document["schema"] == "rlsp.traces/1"
        and json.loads((folder / "out.card.json").read_text()) == document
    )
    return document["data"], list(read_rows(folder / "out.jsonl"))


def reasons(card: dict[str, Any], name: str) -> dict[str, int]:
    (count,) = [count for count in card["filters"] if count["name"].startswith(name)]
    assert count["name"].startswith("sample") or count["before"] - count["after"] == sum(
        reason["rows"] for reason in count["reasons"].values()
    )
    return {why: reason["rows"] for why, reason in count["reasons"].items()}


@pytest.mark.parametrize(
    ("row", "wanted"),
    [
        (
            {"problem": "2+2", "solution": "\\boxed{4}"},
            {"id": "f-0", "problem": "2+2", "solution": "\\boxed{4}"},
        ),
        (
            {"id": 7, "problem": "2+2", "solution": "four", "answer": 4, "level": 1},
            {"id": "7", "problem": "2+2", "solution": "four", "answer": "4", "level": 1},
        ),
        (
            {"problem": "2+2", "qwq": "so \\boxed{5}", "solution": "it is \\boxed{4}"},
            {"id": "f-0", "problem": "2+2", "solution": "so \\boxed{5}", "answer": "4"},
        ),
        (
            {"system": "think", "conversations": talk(("user", "2+2"), ("assistant", MARKED))},
            {
                "id": "f-0",
                "problem": "2+2",
                "solution": "<think>\nhm, 4?\n</think>\n\nIt is \\boxed{4}.",
            },
        ),
        (
            {"conversations": talk(("human", "2+2"), ("gpt", "<think>hm</think>4")), "answer": "4"},
            {"id": "f-0", "problem": "2+2", "solution": "<think>hm</think>4", "answer": "4"},
        ),
        (
            {
                "messages": talk(
                    ("system", "s"), ("user", "2+2"), ("assistant", "4"), who="role", what="content"
                )
            },
            {"id": "f-0", "problem": "2+2", "solution": "4"},
        ),
    ],
)
def test_every_shape_becomes_a_trace_and_no_response_is_its_own_reference(
    row: dict[str, Any], wanted: dict[str, Any]
) -> None:
    assert one(row) == wanted


def test_columns_of_plain_rows_have_the_names_that_are_given() -> None:
    row = {"q": "2+2", "a": "\\boxed{4}", "gold": "4"}
    assert one(row, Columns("q", "a", "gold")) == {
        "id": "f-0",
        "problem": "2+2",
        "solution": "\\boxed{4}",
        "answer": "4",
    }


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (
            {"question": "2+2"},
            "only the columns question; known: qwq (problem, qwq); openthoughts (conversations);",
        ),
        (
            {"conversations": "2+2"},
            "f:1: column 'conversations' must hold a list of {role, content}",
        ),
        (
            {"conversations": talk(("user", "a"), ("assistant", "b"), ("user", "c"))},
            "found user, assistant, user",
        ),
        (
            {"conversations": talk(("user", "a"), ("assistant", MARKED[:-5]))},
            "markers of thought and solution are incomplete",
        ),
        ({"problem": "2+2", "qwq": " "}, "f:1: column 'qwq' is empty"),
        ({"problem": None, "solution": "x"}, "f:1: column 'problem' is empty"),
    ],
)
def test_what_a_row_lacks_is_said(row: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError) as caught:
        one(row)
    assert words in str(caught.value)


def test_bad_rows_are_counted_with_the_first_and_the_rest_is_written(tmp_path: Path) -> None:
    rows = [
        {"problem": "1+1", "solution": "2"},
        {"problem": "x"},
        {"problem": "", "solution": "2"},
        {"problem": "y"},
    ]
    card, written = make(tmp_path, rows)
    assert [row["id"] for row in written] == ["in-0"] and card["rows"] == 1
    assert reasons(card, "convert") == {
        "no column 'solution'; its columns: problem": 2,
        "column 'problem' is empty": 1,
    }
    assert card["filters"][0]["reasons"]["column 'problem' is empty"]["first"] == "in.jsonl:3"


def test_when_all_rows_are_bad_nothing_is_written(tmp_path: Path) -> None:
    done = make(tmp_path, [{"problem": " ", "solution": "2"}], check=False)
    assert done.returncode == 3 and done.stdout == ""
    assert (
        "convert: none of 1 rows is left; 1 of them: column 'problem' is empty, first at in.jsonl:1"
        in done.stderr
    )
    done = make(
        tmp_path,
        [{"problem": "1+1", "solution": "\\boxed{3}", "answer": "2"}],
        "verifier=math_verify",
        check=False,
    )
    assert (
        done.returncode == 3 and "verify: none of 1 rows is left; 1 of them: wrong" in done.stderr
    )
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["format=qwk"], "unknown format 'qwk' - did you mean \"qwq\"?"),
        (["max_tokens=9"], "tokens of which model? name its folder, tokenizer=FOLDER"),
        (["--out", "o.json"], "name a file that ends in .jsonl"),
    ],
)
def test_an_order_that_cannot_be_filled_is_a_usage_error(
    tmp_path: Path, arguments: list[object], words: str
) -> None:
    done = make(tmp_path, [{"problem": "1+1", "solution": "2"}], *arguments, check=False)
    assert done.returncode == 2 and words in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["sample.url=http://127.0.0.1:9/v1"], 3, 'KEY=VALUE: "model" is missing in sample'),
        (
            ["one_per_problm=true"],
            3,
            'unknown key "one_per_problm" in the trace settings - did you mean "one_per_',
        ),
        (["--one-per-problem"], 2, "no option --one-per-problem; write one_per_problem=VALUE"),
    ],
)
def test_settings_are_checked_like_those_of_a_recipe(
    tmp_path: Path, arguments: list[object], code: int, words: str
) -> None:
    done = make(tmp_path, [{"problem": "1+1", "solution": "2"}], *arguments, check=False)
    assert done.returncode == code and words in done.stderr and done.stderr.count("\n") == 1


def test_the_help_names_every_key() -> None:
    text = rlsp("data", "traces", "-h").stdout
    assert all(key in text for key in TraceSettings.model_fields)
    assert all(f"sample.{key}" in text for key in RejectionSampling.model_fields)


def test_rows_without_any_reference_answer_are_not_verified(tmp_path: Path) -> None:
    done = make(
        tmp_path, [{"problem": "1+1", "solution": "2"}], "verifier=math_verify", check=False
    )
    assert done.returncode == 3 and "verified" not in done.stderr
    assert (
        "no row has a reference answer (rows: 1" in done.stderr
        and "name its column by answer=COLUMN" in done.stderr
    )


def test_verification_counts_each_outcome_apart_and_a_file_is_never_overwritten(
    tmp_path: Path,
) -> None:
    solutions = ["so \\boxed{\\frac12}", "so \\boxed{0.5}", "so \\boxed{3}", "I give up"]
    rows = [
        {"problem": f"p{n}", "solution": text, "answer": "1/2"} for n, text in enumerate(solutions)
    ]
    card, written = make(
        tmp_path, [*rows, {"problem": "q", "solution": "\\boxed{1}"}], "verifier=math_verify"
    )
    assert [row["problem"] for row in written] == ["p0", "p1"]
    assert reasons(card, "verify") == {"wrong": 2, "no reference answer": 1}
    assert card["verifier"]["use"] == "math_verify" and card["verifier"]["extract"] == "anywhere"
    done = make(tmp_path, rows, check=False)
    assert done.returncode == 2 and "out.jsonl: exists already" in done.stderr
    assert len(list(read_rows(tmp_path / "out.jsonl"))) == 2


def test_a_verifier_that_hangs_or_breaks_drops_its_row_and_says_how(tmp_path: Path) -> None:
    (tmp_path / "v.py").write_text(
        "from rlsp_cli.rewards import Sample, verifier\n\n@verifier\ndef v(sample: Sample) -> bool | None:\n"
        "    if sample.response == 'hang':\n        while True:\n            pass\n"
        "    return None if sample.response == 'pass' else {'good': True}[sample.response]\n"
    )
    rows = [
        {"problem": text, "solution": text, "answer": "1"}
        for text in ("good", "hang", "pass", "bad")
    ]
    card, written = make(tmp_path, rows, "verifier=./v.py:v")
    assert [row["problem"] for row in written] == ["good"]
    assert reasons(card, "verify") == {
        "not judged: timeout": 1,
        "not judged: abstain": 1,
        "not judged: error": 1,
    }


def test_one_problem_keeps_its_shortest_right_solution(tmp_path: Path) -> None:
    rows = [
        {"problem": "What is $1+1$?", "solution": "let me think: \\boxed{2}", "answer": "2"},
        {"problem": "what is 1 + 1", "solution": "well \\boxed{2}", "answer": "2"},
        {"problem": "What is 1+1?", "solution": "\\boxed{3}", "answer": "2"},
        {"problem": "What is 1+2?", "solution": "\\boxed{3}", "answer": "3"},
    ]
    card, written = make(tmp_path, rows, "verifier=math_verify", "one_per_problem=true")
    assert [row["id"] for row in written] == ["in-1", "in-3"] and card["problems"] == 2
    assert reasons(card, "one per problem") == {"another solution of the problem is not longer": 1}


def test_the_same_input_gives_the_same_file(tmp_path: Path) -> None:
    digests = []
    for name in ("a", "b"):
        rlsp(
            "data", "traces", "task:pair_sum", "--out", f"{name}.jsonl", "--limit", 50, cwd=tmp_path
        )
        digests.append((tmp_path / f"{name}.jsonl").read_bytes())
    assert digests[0] == digests[1] and digests[0].count(b"\n") == 50


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model from scratch that knows the words of the tests."""
    spec = FromScratch(
        hidden_size=32, num_layers=1, num_heads=2, intermediate_size=32, max_length=64
    )
    folder = tmp_path_factory.mktemp("model") / "tiny"
    save_model(folder, *new_model(spec, ["what is 1 + 1 ? so it 2 3 \\boxed{2}"], 0))
    return folder


def test_length_is_counted_by_the_tokenizer_that_is_named(model: Path, tmp_path: Path) -> None:
    rows = [{"problem": f"p{n}", "solution": "so " * n} for n in range(1, 9)]
    card, written = make(tmp_path, rows, f"tokenizer={model}", "min_tokens=3", "max_tokens=5")
    assert [row["problem"] for row in written] == ["p2", "p3", "p4"]  # and the end token
    assert reasons(card, "length") == {"shorter than 3": 1, "longer than 5": 4}
    assert card["length_unit"] == f"tokens of {model}"
    assert card["lengths"] == {"min": 3, "p10": 3, "p50": 4, "p90": 5, "p99": 5, "max": 5}


def test_a_local_model_draws_the_same_solutions_each_time(model: Path, tmp_path: Path) -> None:
    (tmp_path / "v.py").write_text(
        "from rlsp_cli.rewards import Sample, verifier\n\n@verifier\ndef v(sample: Sample) -> bool:\n"
        "    return '2' in sample.response\n"
    )
    arguments = (
        f"sample={{model: {model}, samples: 32, temperature: 1, max_new_tokens: 24}}",
        "verifier=./v.py:v",
    )
    rows = [{"problem": "what is 1 + 1 ?", "answer": "2"}, {"problem": "what is 3 ?"}]
    card, written = make(tmp_path, rows, *arguments)
    assert written and all("2" in row["solution"] and row["answer"] == "2" for row in written)
    assert reasons(card, "sample")["no reference answer"] == 1 and card["sampling"]["samples"] == 32
    for path in tmp_path.glob("out.*"):
        path.unlink()
    assert make(tmp_path, rows, *arguments)[1] == written and not (tmp_path / "out.drafts").exists()


class Endpoint(BaseHTTPRequestHandler):
    """An OpenAI-compatible endpoint: right for an even seed, wrong for an odd one."""

    seen: ClassVar[list[dict[str, Any]]] = []
    failures: ClassVar[list[int]] = []

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.seen.append({"path": self.path, "key": self.headers["Authorization"], **body})
        code = self.failures.pop() if self.failures else 200
        message = {"content": f"\\boxed{{{2 + body['seed'] % 2}}}", "reasoning_content": "hm"}
        choice = {"message": message, "finish_reason": "length" if body["seed"] == 4 else "stop"}
        data = json.dumps({"choices": [choice], "usage": {"completion_tokens": 3}}).encode()
        self.send_response(code)
        self.send_header("Retry-After", "0")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        with suppress(BrokenPipeError):  # what was called off is read by nobody
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def endpoint() -> Iterator[str]:
    Endpoint.seen, Endpoint.failures = [], []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()


def asking(endpoint: str) -> tuple[str, str]:
    return "sample.model=qwen", f"sample.url={endpoint}"


def test_an_endpoint_is_asked_and_its_right_solutions_are_kept(
    endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    Endpoint.failures = [503, 429]
    arguments = (*asking(endpoint), "sample.samples=6", "sample.max_new_tokens=50")
    card, written = make(tmp_path, [{"id": "p", "problem": "1+1", "answer": "2"}], *arguments)
    assert written == [
        {
            "id": f"p-{n}",
            "problem": "1+1",
            "solution": "<think>\nhm\n</think>\n\n\\boxed{2}",
            "answer": "2",
        }
        for n in (0, 2)
    ]
    assert reasons(card, "sample") == {"response cut off at 50 tokens": 1} and reasons(
        card, "verify"
    ) == {"wrong": 3}
    assert len(Endpoint.seen) == 8 and {(ask["path"], ask["key"]) for ask in Endpoint.seen} == {
        ("/v1/chat/completions", "Bearer secret")
    }
    assert (
        Endpoint.seen[0]["messages"] == [{"role": "user", "content": "1+1"}]
        and Endpoint.seen[0]["model"] == "qwen"
    )
    assert not [path for path in tmp_path.iterdir() if b"secret" in path.read_bytes()]


def test_drawing_goes_on_where_it_was_stopped(endpoint: str, tmp_path: Path) -> None:
    rows = [{"problem": f"1+{n}", "answer": "2"} for n in range(40)]
    arguments = (*asking(endpoint), "sample.samples=4")
    Endpoint.failures = [400] + [200] * 130  # taken from the end
    done = make(tmp_path, rows, *arguments, check=False)
    assert (
        done.returncode == 4 and "HTTP 400" in done.stderr and not (tmp_path / "out.jsonl").exists()
    )
    (draft,) = (tmp_path / "out.drafts").iterdir()
    kept = len(draft.read_text().splitlines())
    Endpoint.seen = []
    _, written = make(tmp_path, rows, *arguments)
    assert kept > 100 and len(Endpoint.seen) == 160 - kept and len(written) == 79


def test_an_endpoint_that_is_not_there_or_speaks_otherwise_is_one_line(
    endpoint: str, tmp_path: Path
) -> None:
    Endpoint.failures = [404]
    row = [{"problem": "1+1", "answer": "2"}]
    done = make(tmp_path, row, *asking(endpoint), "sample.samples=1", check=False)
    assert (
        done.returncode == 4
        and "problem 'in-0': HTTP 404" in done.stderr
        and "Traceback" not in done.stderr
    )


def test_a_set_with_copies_of_a_bench_is_cleaned_of_exactly_these(
    shared_data: Path, tmp_path: Path
) -> None:
    clean = [{**row, "solution": "s"} for row in read_rows(shared_data / "aime_1983_2023.jsonl")]
    copies = [
        {"problem": row["problem"].replace("$", " $ ").replace(" ", "  "), "solution": "s"}
        for row in read_rows(shared_data / "aime24.jsonl")
    ]
    (tmp_path / "r.yaml").write_text(
        f"name: r\nmodel: {{path: m}}\neval: {{benches: [aime24], data: {shared_data}, limit: 1}}\n"
    )
    card, written = make(tmp_path, [*clean[:400], *copies, *clean[400:]], "decontaminate=r.yaml")
    assert [row["id"] for row in written] == [row["id"] for row in clean]
    assert reasons(card, "decontaminate") == {"in aime24 (exact)": 30}
    assert card["overlap"]["benches"][0]["problems"] == 30 and card["overlap"]["ngram"] == 8


def test_the_card_tells_how_the_file_was_made(tmp_path: Path) -> None:
    append_rows(tmp_path / "in.jsonl", [{"problem": "a|b", "solution": "c d"}, {"problem": "x"}])
    command = ("data", "traces", "in.jsonl", "--out", "out.jsonl", "one_per_problem=true")
    done = rlsp(*command, cwd=tmp_path)
    assert done.stdout.endswith("out.jsonl\n") and "convert" in done.stdout
    card = (tmp_path / "out.card.md").read_text()
    assert "    rlsp data traces in.jsonl --out out.jsonl one_per_problem=true\n" in card
    assert "| convert | 2 | 1 | 1 no column 'solution'; its columns: problem (in.jsonl:2) |" in card
    assert "| in.jsonl | plain | 2 | SHA-256 " in card and "in words: min 2" in card
    written = json.loads((tmp_path / "out.card.json").read_text())["data"]
    assert written["sha256"] == source_digest(str(tmp_path / "out.jsonl"))
    rlsp("check", "quickstart", "data.traces={source: ./out.jsonl}", cwd=tmp_path)
