"""Training data that holds problems of a bench: what counts, what does not, and what `rlsp check` says."""

# ruff: noqa: RUF001 - other signs that look alike are what this is about

import json
import subprocess
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rlsp_cli.data import Trace, trace_rows
from rlsp_cli.data.formats import Columns
from rlsp_cli.engine.checkpoint import save_model
from rlsp_cli.engine.model import new_model
from rlsp_cli.errors import UsageError
from rlsp_cli.evals.benches import Benches
from rlsp_cli.evals.overlap import (
    Contamination,
    OverlapIndex,
    check_overlap,
    compare_data,
    contamination_notes,
    measure_contamination,
    refuse_overlap,
)
from rlsp_cli.evals.overlap.against import benches_against, whole_bench
from rlsp_cli.evals.overlap.index import Match, same_text
from rlsp_cli.evals.overlap.words import words_of, words_with_spans
from rlsp_cli.recipe.load import load_recipe
from rlsp_cli.recipe.model import FromScratch
from rlsp_cli.recipe.rows import Traces
from rlsp_cli.rewards.registry import resolve_options
from rlsp_cli.runs.stream import append_rows, read_rows, write_rows
from rlsp_cli.traces.clean import clean_rows
from tests.conftest import TINY, rlsp
from tests.optional import present


def index(problems: dict[str, str]) -> OverlapIndex:
    made = OverlapIndex()
    made.add("bench", problems)
    return made


def texts(folder: Path, name: str) -> dict[str, str]:
    return {row["id"]: row["problem"] for row in read_rows(folder / f"{name}.jsonl")}


@pytest.mark.parametrize(
    "copy",
    [
        "Compute $2+3$.",
        "compute  $$ 2 \\, + \\; 3 $$",
        "Compute: \\(2 + 3\\)",
        "COMPUTE \\left( 2 \uff0b 3 \\right)?",
        "Compute\n2+3",
    ],
)
def test_layout_makes_no_difference(copy: str) -> None:
    assert index({"a": "Compute 2+3"}).match(copy) == ("bench", "a", "exact")


@pytest.mark.parametrize(
    "other", ["Compute 2-3", "Compute 2^3", "Compute 23", "Compute 2+3+4", "Compute 3+2"]
)
def test_another_sign_or_number_is_another_problem(other: str) -> None:
    assert index({"a": "Compute 2+3"}).match(other) is None


def test_fractions_of_all_sizes_are_one_and_a_text_without_words_is_itself() -> None:
    assert words_of("\\dfrac{1}{2}") == words_of("$\\tfrac 1 2$") == ("1", "/", "2")
    assert same_text("???") != same_text("!?.") and same_text("?") == "?"


@pytest.mark.parametrize(
    ("latex", "other"),
    [
        ("\\frac{a+1}{\\sqrt{2}}", "(a + 1)/(√2)"),
        ("\\frac{\\frac{1}{2}}{x} + \\tfrac34", "((1)/(2))/(x) + ¾"),
        ("\\frac\\pi2 \\cdot r^{10}", "π/2 * r¹⁰"),
        ("x^{-1} \\times y^2", "x⁻¹ × y²"),
        ("0 \\leq \\theta < 2\\pi", "0 ≤ θ < 2π"),
        ("a \\neq b, c \\ge d", "a ≠ b, c >= d"),
        ("\\left( \\angle ABC = 60^\\circ \\right)", "∠ABC = 60°"),
        (
            "\\begin{align*} x_1 &= 24{,}000 \\\\ x_{12} &= 5\\% \\end{align*}",
            "x₁ = 24,000, x₁₂ = 5 percent",
        ),
        ("\\binom{n}{3} \\to \\infty", "n choose three → ∞"),
        ("\\operatorname{tg} \\varphi \\div 2", "tan φ ÷ 2"),
        ("$A \\cap B \\subset \\mathbb{R}$", "Ａ ∩ Ｂ ⊂ ℝ"),
        ("well-known **cafés** in x**2", "Well known cafes in x^2"),
        ("٣ + ٤", "3+4"),
        ("0.5 ≒ 1٫5", "0.5 \\approx 1.5"),
    ],
)
def test_latex_unicode_and_plain_text_are_one_spelling(latex: str, other: str) -> None:
    assert words_of(latex) == words_of(other)
    assert tuple(word for word, _, _ in words_with_spans(latex)) == words_of(latex)


@pytest.mark.parametrize(
    ("one", "other"),
    [("1/2", "2/1"), ("x^2", "x_2"), ("a<=b", "a<b"), ("2\\cdot3", "2+3"), ("10^2", "102")],
)
def test_one_spelling_keeps_what_differs(one: str, other: str) -> None:
    assert words_of(one) != words_of(other)


@pytest.mark.parametrize(
    "torn", ["\\frac", "\\frac{1", "{" * 2000, "\\frac" * 2000, "^{", "\\", "\\begin{"]
)
def test_torn_latex_has_words_too(torn: str) -> None:
    assert [word for word, _, _ in words_with_spans(torn)] == list(words_of(torn))


def test_a_language_without_blanks_is_read_letter_by_letter() -> None:
    made = index({"a": "一个正整数除以七余三，除以五余二，求满足条件的最小正整数。"})
    copied = made.match("请解答：一个正整数除以七余三，除以五余二，求满足条件的最小正整数。谢谢")
    assert copied == ("bench", "a", "8-gram")
    assert made.match("一个正整数可以写成两个素数的和，求满足条件的所有素数。") is None


STAMPS = "Lee has {} stamps in an album and gives {} of them to Tom on Monday. How many stamps are left in the album?"


def test_a_problem_of_the_same_family_is_listed_and_not_refused() -> None:
    made = OverlapIndex()
    made.add("bench", {"a": STAMPS.format(5, 2)}, {"a": "3"})
    family = STAMPS.format(9, 2).replace("Lee", "Anna")
    assert made.match(family) is None
    assert made.match(family, likely=True) == ("bench", "a", "other numbers")
    assert made.match(STAMPS.format(5, 2).replace("Lee", "Anna")) == ("bench", "a", "8-gram"), (
        "other names alone"
    )


def test_the_same_numbers_in_other_places_are_another_problem_unless_the_answer_is_the_same() -> (
    None
):
    frame = (
        "Lee keeps {} stamps in an old album that his uncle from Oslo had bought at a market in spring, and {} others "
        "in a box under the bed of the room that he shares with his brother. How many more are in the album?"
    )
    made = OverlapIndex()
    made.add("bench", {"a": frame.format(8, 3)}, {"a": "5"})
    assert made.match(frame.format(3, 8), likely=True) == ("bench", "a", "other numbers")
    assert made.match(frame.format(3, 8), "5") == ("bench", "a", "8-gram"), (
        "a slip of the pen, as the answer shows"
    )
    assert made.match(f"Problem 3. {frame.format(8, 7)}", likely=True) == (
        "bench",
        "a",
        "other numbers",
    )
    assert made.match(f"Problem 8. {frame.format(9, 3)}", "6", likely=True) == (
        "bench",
        "a",
        "other answer",
    )


def test_a_decimal_point_and_chinese_numerals_are_read_as_numbers() -> None:
    assert words_of("the mean of 1.5 and 24{,}000.25") != words_of("the mean of 1, 5 and 24000, 25")
    made = index({"a": "一个正整数除以七余三，除以五余二，求满足条件的最小正整数。"})
    assert made.match("一个正整数除以九余四，除以五余二，求满足条件的最小正整数。") is None


def test_another_question_about_the_same_numbers_is_likely_where_the_answers_differ() -> None:
    made = OverlapIndex()
    made.add("bench", {"a": STAMPS.format(5, 2)}, {"a": "$3$"})
    asked = STAMPS.format(5, 2).replace("are left in the album", "has Tom got from Lee")
    assert (
        made.match(asked, "3.0")
        == ("bench", "a", "8-gram")
        == made.match(asked, "three")
        == made.match(asked)
    )
    assert (
        made.match(asked, "2", likely=True) == ("bench", "a", "other answer")
        and made.match(asked, "2") is None
    )
    assert made.match(f"Look: {STAMPS.format(5, 2)} Think.", "2") == ("bench", "a", "8-gram"), (
        "it stands there whole"
    )


def test_an_edited_copy_and_a_paraphrase_are_likely_copies(shared_data: Path) -> None:
    made = index(texts(shared_data, "math500"))
    paraphrase = "The product $xyz$ of three positive reals equals 2. How small can $x^4 + 4y^2 + 4z^4$ become?"
    assert made.match(paraphrase) is None
    assert made.match(paraphrase, likely=True) == (
        "bench",
        "test/intermediate_algebra/966.json",
        "words",
    )


def test_most_edited_copies_are_likely_and_few_other_problems_are(shared_data: Path) -> None:
    bench, others = texts(shared_data, "math500"), texts(shared_data, "aime_1983_2023")
    made = index(bench)
    edited = {
        id: " ".join(w if n % 6 else "xyzzy" for n, w in enumerate(text.split()))
        for id, text in bench.items()
    }
    found = [
        id
        for id, text in edited.items()
        if (match := made.match(text, likely=True)) and match.id == id
    ]
    assert len(found) > 0.9 * len(bench)
    assert sum(made.match(text, likely=True) is not None for text in others.values()) < 30, (
        "nine are copies"
    )


def test_the_answer_of_a_trace_is_the_column_of_that_name(tmp_path: Path) -> None:
    overlapping(tmp_path)
    rows = trace_rows(Traces(source=str(tmp_path / "heldout.jsonl"), response="id"))
    assert [row.answer for row in rows] == ["x", "x"]


def test_copies_of_aime24_in_another_layout_are_found_and_nothing_else(shared_data: Path) -> None:
    bench, others = texts(shared_data, "aime24"), texts(shared_data, "aime_1983_2023")
    made = index(bench)
    for id, text in bench.items():
        assert made.match("  ".join(text.replace("$", "$ ").split(" ")).upper()) == (
            "bench",
            id,
            "exact",
        )
        assert made.match(f"Solve this. {text} Think step by step.") == ("bench", id, "8-gram")
    assert [id for id, text in others.items() if made.match(text)] == []


@pytest.mark.integration
def test_aime24_and_math500_share_no_problem(shared_data: Path) -> None:
    aime, math = texts(shared_data, "aime24"), texts(shared_data, "math500")
    assert not [id for id, text in math.items() if index(aime).match(text)]
    assert not [id for id, text in aime.items() if index(math).match(text)]


def test_problems_of_aime_that_math500_took_over_are_found_reworded_or_not(
    shared_data: Path,
) -> None:
    made = index(texts(shared_data, "math500"))
    matches = {id: made.match(text) for id, text in texts(shared_data, "aime_1983_2023").items()}
    found = {id: match.rule for id, match in matches.items() if match}
    exact = {"1983-2", "2001-II-3", "2010-I-6", "2015-II-6", "2016-I-10", "2017-II-7"}
    reworded = {"1995-9", "2002-I-12", "2006-II-5"}
    assert found == dict.fromkeys(exact, "exact") | dict.fromkeys(reworded, "8-gram")


def test_near_copies_of_math500_are_found_and_those_with_another_number_are_only_likely(
    shared_data: Path,
) -> None:
    bench = {
        id: text for id, text in texts(shared_data, "math500").items() if len(words_of(text)) > 20
    }
    made = index(texts(shared_data, "math500"))
    changed = {
        id: text.replace("Find", "Determine").replace("the ", "a ", 1) for id, text in bench.items()
    }
    assert sum(made.match(text) is not None for text in changed.values()) > 0.9 * len(bench)
    other = {
        id: text.replace("2", "7")
        for id, text in changed.items()
        if "2" in text.partition("[asy]")[0]
    }
    found = [made.match(text, likely=True) for text in other.values()]
    assert sum(match is not None for match in found) > 0.85 * len(other)
    assert sum(match.is_copy for match in found if match) < 0.02 * len(other)


def test_wording_that_the_problems_of_a_bench_share_is_no_overlap() -> None:
    frame = "A farmer has {} cows and buys some more of them at the market; how many cows has he got then?"
    made = index({"a": frame.format(3), "b": frame.format(5)})
    assert made.match(frame.format(4)) is None and made.match(frame.format(5)) == (
        "bench",
        "b",
        "exact",
    )


def test_an_everyday_phrase_in_a_longer_text_is_no_overlap() -> None:
    made = index({"a": "What is $x$?", "b": "What is the sum of all odd primes?"})
    assert made.match("If $x + 1 = 2$, what is x?") is None
    assert made.match("I wonder: what is the sum of all odd primes below nine?") == (
        "bench",
        "b",
        "8-gram",
    )


def overlapping(folder: Path) -> Path:
    """A recipe whose second trace and third prompt are held out."""
    heldout = [
        {"id": str(n), "problem": f"Which two of {n}, 3 and 5 add up to {n + 5}?", "answer": "x"}
        for n in (7, 8)
    ]
    other = {
        "problem": "What is the capital of France, and how many live there?",
        "answer": "Paris",
        "solution": "It is.",
    }
    append_rows(folder / "heldout.jsonl", heldout)
    append_rows(folder / "traces.jsonl", [other, {**heldout[0], "solution": "\\boxed{x}"}])
    append_rows(
        folder / "prompts.jsonl",
        [other, other, {**heldout[1], "problem": heldout[1]["problem"].upper()}],
    )
    text = TINY.replace(
        "traces: {source: task:pair_sum, rows: 64}", "traces: {source: ./traces.jsonl}"
    )
    text = text.replace(
        "prompts: {source: task:pair_sum, rows: 64}", "prompts: {source: ./prompts.jsonl}"
    )
    text = text.replace(
        "{source: task:pair_sum, split: test, rows: 6}", "{source: ./heldout.jsonl}"
    )
    (folder / "r.yaml").write_text(text.replace("rollout_batch: 16", "rollout_batch: 8"))
    return folder / "r.yaml"


@pytest.mark.integration
def test_check_refuses_training_on_a_bench_unless_it_is_allowed(tmp_path: Path) -> None:
    overlapping(tmp_path)
    done = rlsp("check", "r.yaml", cwd=tmp_path, check=False)
    hint = "leave them out with rlsp data clean FILE --against RECIPE --out CLEAN, or set data.allow_overlap: true"
    trace, prompt = "Which two of 7, 3 and 5 add up to 12?", "WHICH TWO OF 8, 3 AND 5 ADD UP TO 13?"
    assert done.returncode == 3 and done.stderr.splitlines() == [
        "r.yaml:7:3: data.traces: 1 of 2 problems are in the bench heldout, such as "
        f'row 2, "{trace}", which is the text of problem 7 - {hint}',
        "r.yaml:8:3: data.prompts: 1 of 3 problems are in the bench heldout, such as "
        f'row 3, "{prompt}", which is the text of problem 8 - {hint}',
    ]
    assert "ok" in rlsp("check", "r.yaml", "data.allow_overlap=true", cwd=tmp_path).stdout


@pytest.mark.integration
def test_what_cannot_be_read_is_told_and_no_overlap(tmp_path: Path) -> None:
    overlapping(tmp_path)
    (tmp_path / "traces.jsonl").write_text("{")
    (tmp_path / "prompts.jsonl").unlink()
    for command in ("check", "run"):
        done = rlsp(command, "r.yaml", "eval.benches=[heldout]", cwd=tmp_path, check=False)
        assert done.returncode == 3 and "problems are in the bench" not in done.stderr
        assert "traces.jsonl:1:" in done.stderr and "prompts.jsonl: no such file" in done.stderr


@pytest.mark.integration
def test_a_stage_refuses_too_because_check_reads_no_hub_and_not_all_of_a_task(
    tmp_path: Path,
) -> None:
    overlapping(tmp_path)
    rlsp("sft", "r.yaml", "data.allow_overlap=true", "--dry-run", "--out", "run", cwd=tmp_path)
    resolved = (tmp_path / "run" / "resolved.yaml").read_text()
    (tmp_path / "run" / "resolved.yaml").write_text(
        resolved.replace("allow_overlap: true", "allow_overlap: false")
    )
    job = json.loads((tmp_path / "run" / "sft" / "job.json").read_text())["data"]
    done = subprocess.run(job["argv"], capture_output=True, text=True, check=False)
    assert (
        done.returncode == 3
        and "data.traces: 1 of 2 problems are in the bench heldout" in done.stderr
    )


def test_a_stage_says_which_bench_it_could_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("RLSP_DATA_DIR", raising=False)
    recipe = load_recipe(
        overlapping(tmp_path), ["eval.benches=[aime24]", "eval.data=null"], plugins=resolve_options
    )
    (tmp_path / "empty").mkdir()
    absent = recipe.model_copy(
        update={"eval": present(recipe.eval).model_copy(update={"data": str(tmp_path / "empty")})}
    )
    refuse_overlap(absent, "traces", [Trace("a problem", "its solution")])
    assert "data.traces is not compared with a bench: bench aime24" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("around", "problem"),
    [
        (
            ("Solve this.\n\n", "\nThink step by step."),
            "What is the sum of all odd primes below nine and above two?",
        ),
        (
            ("\\textbf{Problem.} ", " \\quad Good luck!"),
            "Find $\\dfrac{1}{2} + 3 \\times x$ where $x$ is the only even prime.",
        ),
        (
            ("\ufb01rst: [asy] draw(x); [/asy] ", ""),
            "How many of the ﬁve boys and six girls are 12 \u2212 3 years old?",
        ),
    ],
)
def test_where_a_problem_stands_in_a_text_is_told_by_its_letters(
    around: tuple[str, str], problem: str
) -> None:
    made, (before, after) = (
        index({"a": problem, "b": "Another one about trains that leave at noon from two towns."}),
        around,
    )
    text = f"{before}{problem}{after}"
    match = made.match(text)
    assert match == ("bench", "a", "8-gram")
    start, end = made.span(text, match)
    found = text[start:end]
    assert found in problem and len(found) >= len(problem) - 3, (
        "but for signs around the first and the last word"
    )


def test_the_span_of_every_copied_problem_is_the_problem(shared_data: Path) -> None:
    bench = texts(shared_data, "aime24")
    made = index(bench)
    for id, text in bench.items():
        start, end = made.span(f"Solve this. {text} Think.", Match("bench", id, "8-gram"))
        assert start >= 12 and end <= 12 + len(text)
        words = text.partition("[asy]")[0]
        assert end - start > 0.5 * len(words), (
            "figures are not looked at, and some words are not its own"
        )
        assert made.span(text, Match("bench", id, "exact")) == (0, len(text))


def training_file(folder: Path, bench: Path) -> list[dict[str, Any]]:
    """train.jsonl: the second row is the bench's first problem, the third has its second one in another text."""
    problems = list(read_rows(bench))
    rows = [
        {"problem": "What is the capital of France?", "answer": "Paris"},
        {"problem": problems[0]["problem"].upper(), "answer": "1"},
        {"problem": f"Try this: {problems[1]['problem']} Show your work.", "answer": "2"},
    ]
    append_rows(folder / "train.jsonl", rows)
    return problems


@pytest.mark.integration
def test_data_check_tells_row_problem_and_place_and_exits_with_6(
    shared_data: Path, tmp_path: Path
) -> None:
    problems = training_file(tmp_path, shared_data / "aime24.jsonl")
    arguments = (
        "data",
        "check",
        "train.jsonl",
        "--against",
        "aime24,math500",
        "--data",
        shared_data,
    )
    done = rlsp(*arguments, "--json", cwd=tmp_path, check=False)
    assert done.returncode == 6
    assert done.stderr.splitlines() == ["rlsp: train.jsonl: 2 rows copy problems of aime24"]
    data = json.loads(done.stdout)["data"]
    assert data["clean"] is False and data["sets"] == [
        {"role": "rows", "source": "train.jsonl", "rows": 3}
    ]
    assert [
        (b["name"], b["problems"], b["problems_found"], b["rows_found"]) for b in data["benches"]
    ] == [
        ("aime24", 30, 2, 2),
        ("math500", 500, 0, 0),
    ]
    same, inside = data["copies"]
    assert (same["place"], same["problem"], same["rule"]) == (
        "train.jsonl:2",
        problems[0]["id"],
        "exact",
    )
    assert (inside["place"], inside["problem"], inside["rule"]) == (
        "train.jsonl:3",
        problems[1]["id"],
        "8-gram",
    )
    assert 10 <= inside["start"] < inside["end"] <= 10 + len(problems[1]["problem"])
    shown = rlsp(*arguments, cwd=tmp_path, check=False)
    assert shown.returncode == 6 and "train.jsonl:3" in shown.stdout and "8-gram" in shown.stdout


@pytest.mark.integration
def test_data_check_of_clean_data_ends_with_0_whatever_the_format(
    shared_data: Path, tmp_path: Path
) -> None:
    (tmp_path / "train.csv").write_text("question,answer\nWhat is 2 + 2?,4\n")
    arguments = (
        "data",
        "check",
        "train.csv",
        "--against",
        "aime24",
        "--data",
        shared_data,
        "problem=question",
    )
    done = rlsp(*arguments, "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["data"]["clean"] is True and done.stderr == ""


def test_heldout_without_a_recipe_is_told_to_be_a_recipes_data() -> None:
    with pytest.raises(UsageError, match="name that recipe instead"):
        benches_against(["heldout"], None, None)


@pytest.mark.integration
def test_data_that_is_missing_or_cannot_be_read_is_not_clean(
    shared_data: Path, tmp_path: Path
) -> None:
    training_file(tmp_path, shared_data / "aime24.jsonl")
    (tmp_path / "empty").mkdir()
    arguments = ("data", "check", "train.jsonl", "--against", "aime24,math500", "--data")
    done = rlsp(*arguments, "empty", cwd=tmp_path, check=False)
    assert (
        done.returncode == 4
        and "bench aime24: empty/aime24.jsonl" in done.stderr
        and "bench math500" in done.stderr
    )
    append_rows(tmp_path / "torn.jsonl", [{"problem": "Of what use is it?"}, {"problem": None}])
    done = rlsp(
        "data",
        "check",
        "torn.jsonl",
        "--against",
        "aime24",
        "--data",
        shared_data,
        cwd=tmp_path,
        check=False,
    )
    assert (
        done.returncode == 3
        and "rows without a problem to compare: 1, such as torn.jsonl:2" in done.stderr
    )
    done = rlsp("data", "check", "train.jsonl", "--against", "math50", cwd=tmp_path, check=False)
    assert done.returncode == 3 and 'did you mean "math500"?' in done.stderr


@pytest.mark.integration
def test_data_check_looks_at_all_that_a_recipe_trains_on(tmp_path: Path) -> None:
    overlapping(tmp_path)
    done = rlsp(
        "data", "check", "r.yaml", "--against", "heldout", "--json", cwd=tmp_path, check=False
    )
    found = [
        (r["role"], r["place"], r["problem"]) for r in json.loads(done.stdout)["data"]["copies"]
    ]
    assert done.returncode == 6 and found == [("traces", "row 2", "7"), ("prompts", "row 3", "8")]


@pytest.mark.integration
def test_an_evaluation_says_which_problems_the_run_was_trained_on(tmp_path: Path) -> None:
    overlapping(tmp_path)
    rlsp("sft", "r.yaml", "data.allow_overlap=true", "--dry-run", "--out", "run", cwd=tmp_path)
    spec = FromScratch(
        hidden_size=16, num_layers=1, num_heads=1, intermediate_size=16, max_length=64
    )
    save_model(
        tmp_path / "run" / "sft" / "checkpoints" / "final",
        *new_model(spec, ["Which two add up?"], 0),
    )
    bench = "name: seen\ndescription: Seen.\nproblems: 2\nsource: ./heldout.jsonl\n"
    bench += 'prompt: {template: "{problem}", origin: o}\nverifier: {use: exact_match}\nsampling: {samples: 0}\n'
    (tmp_path / "seen.yaml").write_text(bench)
    done = rlsp(
        "eval",
        "run",
        "--bench",
        "./seen.yaml",
        "eval.max_new_tokens=2",
        "--out",
        "one",
        cwd=tmp_path,
    )
    first = 'row 2, "Which two of 7, 3 and 5 add up to 12?", which is the text of problem 7'
    words = f"seen IS CONTAMINATED: 1 of its 2 problems are in data.traces (1 of 2 rows, such as {first})"
    assert words in " ".join(done.stderr.split()) and words in done.stdout
    assert "up to 50.0 points of its accuracy there may be memory" in done.stdout
    results = json.loads((tmp_path / "one" / "eval" / "results.json").read_text())["data"]
    seen = {"rows_found": 1, "problems_found": 1, "rows": 2, "problems": 2, "first": first}
    seen |= {"likely_rows": 0, "likely_problems": 0, "likely_first": None}
    assert results["benches"]["seen"]["contaminated"] == {"traces": seen}, (
        "PPO has not trained this model"
    )
    assert words in json.loads((tmp_path / "one" / "report.json").read_text())["data"]["notes"][0]


def test_each_text_is_read_once_for_all_rules_and_all_benches_once_for_all_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = load_recipe(overlapping(tmp_path), ["data.prompts.rows=2"], plugins=resolve_options)
    read: Counter[str] = Counter()

    def counting(text: str) -> tuple[str, ...]:
        read[text] += 1
        return words_of(text)

    monkeypatch.setattr("rlsp_cli.evals.overlap.index.words_of", counting)
    assert len(check_overlap(recipe)) == 1

    found = {path.stem: list(texts_of(path)) for path in tmp_path.glob("*.jsonl")}
    expected = Counter(found["heldout"]) + Counter(found["traces"])
    assert read == expected + Counter(found["prompts"][:2])


def texts_of(path: Path) -> Iterator[str]:
    return (row["problem"] for row in read_rows(path))


def test_a_row_far_down_that_cannot_be_read_leaves_it_unknown_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = load_recipe(overlapping(tmp_path), plugins=resolve_options)
    bench = whole_bench("heldout", recipe)
    append_rows(tmp_path / "traces.jsonl", [{"problem": "And?"}])
    monkeypatch.setattr("rlsp_cli.data.kept._MOST", 1)
    seen = measure_contamination(recipe, [bench])["heldout"]
    assert "traces.jsonl:3: no column" in str(seen["traces"].unknown)
    assert seen["prompts"].rows_found == 1


def test_training_data_that_cannot_be_read_is_unknown_and_not_clean(tmp_path: Path) -> None:
    recipe = load_recipe(overlapping(tmp_path), plugins=resolve_options)
    bench = whole_bench("heldout", recipe)
    (tmp_path / "traces.jsonl").unlink()
    seen = measure_contamination(recipe, [bench])["heldout"]
    assert "no such file" in str(seen["traces"].unknown) and seen["prompts"].rows_found == 1
    unknown, found = contamination_notes({"heldout": seen})
    assert unknown.startswith("heldout: it is unknown whether data.traces holds its problems: ")
    assert "1 of its 2 problems are in data.prompts (1 of 3 rows, such as row 3, " in found


def test_an_evaluation_of_some_problems_is_compared_with_the_whole_bench(tmp_path: Path) -> None:
    frame = "The {} in our town sells {} loaves before noon and 30 after it; how many loaves is that on a weekday?"
    rows = [
        {"id": name, "problem": frame.format(name, n), "answer": "1"}
        for n, name in enumerate(["baker", "grocer"], 12)
    ]
    append_rows(tmp_path / "heldout.jsonl", rows)
    append_rows(
        tmp_path / "traces.jsonl", [{"problem": frame.format("miller", 12), "solution": "s"}]
    )
    append_rows(
        tmp_path / "prompts.jsonl", [{"problem": frame.format("baker", 12), "answer": "1"}, rows[1]]
    )
    text = TINY.replace(
        "traces: {source: task:pair_sum, rows: 64}", "traces: {source: ./traces.jsonl}"
    )
    text = text.replace(
        "prompts: {source: task:pair_sum, rows: 64}", "prompts: {source: ./prompts.jsonl}"
    )
    text = text.replace(
        "{source: task:pair_sum, split: test, rows: 6}", "{source: ./heldout.jsonl}"
    )
    (tmp_path / "r.yaml").write_text(text)
    recipe = load_recipe(tmp_path / "r.yaml", ["eval.limit=1"], plugins=resolve_options)
    bench = Benches.of(recipe).load("heldout")
    seen = measure_contamination(recipe, [bench])["heldout"]
    assert (seen["traces"].rows_found, seen["prompts"].rows_found) == (0, 1), (
        "two bakeries share their wording"
    )
    assert seen["prompts"].problems == 1, "the grocer was not asked"
    (problem,) = check_overlap(recipe)
    assert problem.path == "data.prompts" and "2 of 2 problems" in problem.message


def test_evaluation_says_what_is_only_like_the_training_data(tmp_path: Path) -> None:
    likely = Contamination(
        rows=9, problems=4, likely_rows=3, likely_problems=2, likely_first="row 4"
    )
    assert Contamination.from_json(likely.to_json()) == likely
    (line,) = contamination_notes({"b": {"prompts": likely}})
    assert line == (
        "b: 2 of its 4 problems are like rows of data.prompts, and may be copies in other words (3 rows, such as row 4)"
    )


@pytest.mark.integration
def test_every_command_finds_the_same_rows(tmp_path: Path) -> None:
    rows = [{"id": "0", "problem": STAMPS.format(5, 2), "answer": "3"}]
    append_rows(tmp_path / "heldout.jsonl", rows)
    copy, family = STAMPS.format(5, 2).replace("Lee", "Anna"), STAMPS.format(9, 2)
    train: list[dict[str, Any]] = [
        {"problem": copy, "gold": "3", "level": 1, "solution": "s"},
        {"problem": family, "gold": "7", "level": [2], "solution": "s"},
        {
            "problem": "What is the capital of France?",
            "gold": "Paris",
            "level": None,
            "solution": "s",
        },
        {"problem": " ", "gold": "4", "level": 3, "solution": "s"},
    ]
    append_rows(tmp_path / "train.jsonl", train)
    append_rows(tmp_path / "prompts.jsonl", [{**row, "answer": row["gold"]} for row in train[:3]])
    text = TINY.replace(
        "prompts: {source: task:pair_sum, rows: 64}", "prompts: {source: ./prompts.jsonl}"
    )
    text = text.replace(
        "{source: task:pair_sum, split: test, rows: 6}", "{source: ./heldout.jsonl}"
    )
    (tmp_path / "r.yaml").write_text(text)

    clean = ("data", "clean", "train.jsonl", "--against", "r.yaml", "answer=gold", "--out")
    done = rlsp(*clean, "kept.jsonl", cwd=tmp_path)
    assert list(read_rows(tmp_path / "kept.jsonl")) == [train[1], train[2]], (
        "all columns as they were"
    )
    assert (
        "1 in heldout (8-gram) (train.jsonl:1); 1 column 'problem' is empty (train.jsonl:4)"
        in done.stdout
    )
    assert (
        "likely copies kept: 1, such as train.jsonl:2 (like heldout (other numbers))" in done.stdout
    )
    rlsp(*clean, "fewer.jsonl", "--drop-likely", cwd=tmp_path)
    assert list(read_rows(tmp_path / "fewer.jsonl")) == [train[2]]
    assert rlsp(*clean, "kept.jsonl", cwd=tmp_path, check=False).returncode == 2, (
        "it never writes over a file"
    )

    found = rlsp(
        "data", "check", "prompts.jsonl", "--against", "r.yaml", "--json", cwd=tmp_path, check=False
    )
    data = json.loads(found.stdout)["data"]
    assert (
        found.returncode == 6 and "translations" in data["cannot_find"] and data["clean"] is False
    )
    assert [(r["place"], r["rule"], r["problem_text"]) for r in data["copies"]] == [
        ("prompts.jsonl:1", "8-gram", rows[0]["problem"])
    ]
    assert [(r["place"], r["rule"]) for r in data["likely"]] == [
        ("prompts.jsonl:2", "other numbers")
    ]
    checked = rlsp("check", "r.yaml", cwd=tmp_path, check=False)
    assert 'row 1, "has 5 stamps in an album and gives 2 of them to Tom' in checked.stderr, (
        "from the shared words on"
    )
    assert (
        '", which has the wording and the numbers of problem 0, "Lee has 5 stamps' in checked.stderr
    )
    traces = (
        "data",
        "traces",
        "train.jsonl",
        "answer=gold",
        "decontaminate=r.yaml",
        "--out",
        "t.jsonl",
    )
    made = rlsp(*traces, cwd=tmp_path)
    assert "decontaminate 3 2 1 in heldout (8-gram) (train.jsonl:1)" in " ".join(
        made.stdout.split()
    )
    assert "length" not in made.stdout, "nobody asked for it"
    assert "columns are renamed to what a recipe reads by default: answer (was gold)" in made.stdout


@pytest.mark.integration
def test_rows_are_compared_and_cleaned_without_all_of_them_in_memory(tmp_path: Path) -> None:
    train, bench = tmp_path / "train.jsonl", overlapping(tmp_path)
    others = [
        {"problem": f"How old is oak number {n} of this wood?", "text": "ring " * 1000}
        for n in range(6_000)
    ]
    copy = next(iter(read_rows(tmp_path / "heldout.jsonl")))
    write_rows(train, [*others, {"problem": copy["problem"]}, {"answer": "no problem"}])
    columns = Columns(solution=None)

    tracemalloc.start()
    found = compare_data(str(train), [str(bench)], None, columns)
    made = clean_rows(str(train), [str(bench)], None, columns, tmp_path / "clean.jsonl")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert len(found.copies) == len(found.unread) == 1 and len(found.sets[0].rows) == 6_001
    assert (made.before, made.after, len(made.left_out)) == (6_002, 6_000, 2)
    assert sum(1 for _ in read_rows(tmp_path / "clean.jsonl")) == 6_000
    assert peak < train.stat().st_size / 2
