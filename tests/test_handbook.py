"""Handbooks: drawn from traces by a model, edited, and looked up for a problem."""

import math
from pathlib import Path
from typing import Any

import pytest

from rlsp_cli.data import Problem, trace_rows
from rlsp_cli.data.handbook import Behaviour, fitting_behaviours
from rlsp_cli.errors import DataError, RecipeError, UsageError
from rlsp_cli.evals.benches import Bench, probed
from rlsp_cli.recipe.rows import RowUse, Traces
from rlsp_cli.rewards.registry import get_plugin
from rlsp_cli.runs.stream import append_rows
from rlsp_cli.traces import HandbookJob, draw_handbook
from rlsp_cli.traces.handbook import behaviours_in, merged
from tests.conftest import rlsp
from tests.openai_server import Reply, Server, chat, serving

bm25s = pytest.importorskip("bm25s", reason="the extra handbook is not installed")

HANDBOOK = """behaviours:
- {name: prime_factors, instruction: "Write the integer as a product of primes."}
- {name: complementary_counting, instruction: "Count what is not wanted, and subtract."}
- {name: substitute_back, instruction: "Put the result back into the equation."}
"""


@pytest.fixture
def handbook(tmp_path: Path) -> Path:
    path = tmp_path / "handbook.yaml"
    path.write_text(HANDBOOK)
    return path


def names(handbook: Path, problem: str, most: int = 5) -> list[str]:
    return [one.name for one in fitting_behaviours(handbook, problem, most)]


def test_behaviours_that_share_words_are_found_best_first(handbook: Path) -> None:
    assert names(handbook, "Solve the equation.") == ["substitute_back"]
    assert names(handbook, "Which primes is the integer a product of?") == ["prime_factors"]
    assert names(handbook, "Count the primes, an equation?", most=1) != []
    assert len(names(handbook, "Count the primes, an equation?", most=2)) == 2
    assert names(handbook, "Gibt es das?") == []


def test_the_order_is_that_of_bm25_by_hand(tmp_path: Path) -> None:
    texts = ["count cats", "count dogs dogs", "birds fly high today"]
    rows = [f"- {{name: b{n}, instruction: {text}}}\n" for n, text in enumerate(texts)]
    path = tmp_path / "h.yaml"
    path.write_text("behaviours:\n" + "".join(rows))

    # Lucene's BM25 with k1 = 1.5 and b = 0.75; each name is a word of its text too.
    documents = [f"b{n} {text}".split() for n, text in enumerate(texts)]
    mean = sum(map(len, documents)) / 3

    def by_hand(document: list[str]) -> float:
        total = 0.0
        for word in ("count", "dogs", "high"):
            count, having = document.count(word), sum(word in other for other in documents)
            idf = math.log(1 + (3 - having + 0.5) / (having + 0.5))
            total += idf * count / (count + 1.5 * (0.25 + 0.75 * len(document) / mean))
        return total

    order = sorted(range(3), key=lambda n: -by_hand(documents[n]))
    assert names(path, "Count the dogs high") == [f"b{n}" for n in order] == ["b1", "b2", "b0"]


def test_a_handbook_is_read_anew_once_it_is_edited(handbook: Path) -> None:
    assert names(handbook, "equation") == ["substitute_back"]
    handbook.write_text("behaviours:\n- {name: other, instruction: An equation.}\n")
    assert names(handbook, "equation") == ["other"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("behaviours: []", "no behaviour; expected at least one"),
        ("behaviours:\n- {name: a, instruction: x}\n- {name: a, instruction: y}", "two .* 'a'"),
        ("behaviours:\n- {name: a, instrction: x}", "instrction"),
    ],
)
def test_a_file_that_is_no_handbook_is_refused(handbook: Path, text: str, words: str) -> None:
    handbook.write_text(text)
    with pytest.raises(RecipeError, match=words):
        fitting_behaviours(handbook, "x", 1)


def test_the_row_function_puts_them_before_problems_of_benches_and_traces(
    handbook: Path, tmp_path: Path
) -> None:
    options = {"use": "behavior_handbook", "handbook": str(handbook), "k": 1}
    use = RowUse.model_validate(options)
    bench = Bench(
        "b", [Problem("1", "Solve the equation.", "2"), Problem("2", "Gibt es das?", "3")], ""
    )
    helped, plain = probed(bench, use, ()).problems
    asked = (
        "These behaviours may help:\n"
        "- substitute_back: Put the result back into the equation.\n\nSolve the equation."
    )
    assert helped.problem == asked and plain.problem == "Gibt es das?"

    append_rows(tmp_path / "t.jsonl", [{"problem": "Solve the equation.", "solution": "2"}])
    (trace,) = trace_rows(Traces(source=str(tmp_path / "t.jsonl"), row=use))
    assert trace.prompt == asked and trace.response == "2"
    assert get_plugin("row_shape", "behavior_handbook").name == "behavior_handbook"


def test_a_wrong_handbook_is_no_error_of_the_row(handbook: Path) -> None:
    handbook.write_text("")
    use = RowUse.model_validate({"use": "behavior_handbook", "handbook": str(handbook)})
    with pytest.raises(RecipeError, match=r"^\S+:1:1: expected a mapping"):
        probed(Bench("b", [Problem("1", "Solve it.", "2")], ""), use, ())


REPLY = """<think>which?</think>
1. **behavior_prime_factors**: Write the integer as a product of primes.
- `count_all`: Count everything.
Note that this is all.
prime_factors: another instruction
"""


def test_lines_with_a_name_and_an_instruction_are_behaviours() -> None:
    assert behaviours_in(REPLY) == {
        "prime_factors": "Write the integer as a product of primes.",
        "count_all": "Count everything.",
    }


def test_equal_names_are_one_behaviour_and_frequent_ones_come_first() -> None:
    found = merged([{"a": "first", "b": "x"}, {"b": "later"}, {}])
    assert found == [
        Behaviour(name="b", instruction="x", seen=2),
        Behaviour(name="a", instruction="first", seen=1),
    ]


def of_problem(body: dict[str, Any]) -> Reply:
    asked = body["messages"][-1]["content"]
    assert "Solution:\nby sums" in asked
    return chat("sum_up: Add them all." if "P1" in asked else "I see nothing.")


@pytest.fixture
def traces(tmp_path: Path) -> Traces:
    rows = [{"q": f"P{n}", "s": "by sums"} for n in range(3)]
    append_rows(tmp_path / "t.jsonl", rows)
    return Traces(source=str(tmp_path / "t.jsonl"), prompt="q", response="s")


def job(traces: Traces, server: Server) -> HandbookJob:
    folder = Path(traces.source).parent
    return HandbookJob(traces, "m", server.url, folder / "handbook.yaml")


def test_a_handbook_is_drawn_from_every_trace_and_can_be_looked_up(traces: Traces) -> None:
    with serving(of_problem) as server:
        asked = job(traces, server)
        assert draw_handbook(asked).to_json() == {"traces": 3, "without": 2, "behaviours": 1}
        assert names(asked.out, "Add two numbers") == ["sum_up"] and not asked.drafts.exists()

        with pytest.raises(UsageError, match="may have been edited"):
            draw_handbook(asked)


def test_replies_are_kept_when_none_names_a_behaviour(traces: Traces) -> None:
    with serving(lambda _: chat("Nothing.")) as server:
        asked = job(traces, server)
        for _ in range(2):  # the second time, all replies are there
            with pytest.raises(DataError, match="none of 3 replies has a line"):
                draw_handbook(asked)
        assert len(server.asked) == 3


@pytest.mark.integration
def test_the_command_writes_the_file(traces: Traces, tmp_path: Path) -> None:
    with serving(of_problem) as server:
        done = rlsp(
            *("data", "handbook", "t.jsonl", "--model", "m", "--url", server.url),
            *("--out", "h.yaml", "problem=q", "solution=s"),
            cwd=tmp_path,
        )
    assert "1 behaviours from 3 traces; 2 replies named none" in done.stdout
    assert "sum_up" in (tmp_path / "h.yaml").read_text()
