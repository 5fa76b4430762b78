"""Training data that holds problems of a bench: what counts, what does not, and what `rlsp check` says."""

import json
import subprocess
import time
from pathlib import Path

import pytest

from rlsp_cli.data.overlap import Match, OverlapIndex, same_text, words_of
from rlsp_cli.engine.checkpoint import save_model
from rlsp_cli.engine.model import new_model
from rlsp_cli.evals.contamination import whole_bench
from rlsp_cli.evals.repeats import contamination_notes, seen_in_training
from rlsp_cli.recipe.load import load_recipe
from rlsp_cli.recipe.schema import FromScratch
from rlsp_cli.rewards.registry import Registry
from rlsp_cli.runs.stream import append_rows, read_rows
from tests.conftest import TINY, rlsp


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


@pytest.mark.parametrize("other", ["Compute 2-3", "Compute 2^3", "Compute 23", "Compute 2+3+4", "Compute 3+2"])
def test_another_sign_or_number_is_another_problem(other: str) -> None:
    assert index({"a": "Compute 2+3"}).match(other) is None


def test_fractions_of_all_sizes_are_one_and_a_text_without_words_is_itself() -> None:
    assert words_of("\\dfrac{1}{2}") == words_of("$\\tfrac 1 2$") == ("frac", "1", "2")
    assert same_text("???") != same_text("!?.") and same_text("?") == "?"


def test_copies_of_aime24_in_another_layout_are_found_and_nothing_else(shared_data: Path) -> None:
    bench, others = texts(shared_data, "aime24"), texts(shared_data, "aime_1983_2023")
    made = index(bench)
    for id, text in bench.items():
        assert made.match("  ".join(text.replace("$", "$ ").split(" ")).upper()) == ("bench", id, "exact")
        assert made.match(f"Solve this. {text} Think step by step.") == ("bench", id, "8-gram")
    assert [id for id, text in others.items() if made.match(text)] == []


def test_aime24_and_math500_share_no_problem(shared_data: Path) -> None:
    aime, math = texts(shared_data, "aime24"), texts(shared_data, "math500")
    assert not [id for id, text in math.items() if index(aime).match(text)]
    assert not [id for id, text in aime.items() if index(math).match(text)]


def test_problems_of_aime_that_math500_took_over_are_found_reworded_or_not(shared_data: Path) -> None:
    made = index(texts(shared_data, "math500"))
    matches = {id: made.match(text) for id, text in texts(shared_data, "aime_1983_2023").items()}
    found = {id: match.rule for id, match in matches.items() if match}
    exact = {"1983-2", "2001-II-3", "2010-I-6", "2015-II-6", "2017-II-7"}
    reworded = {"1995-9", "2002-I-12", "2006-II-5", "2016-I-10"}
    assert found == dict.fromkeys(exact, "exact") | dict.fromkeys(reworded, "8-gram")


def test_near_copies_of_math500_are_found(shared_data: Path) -> None:
    bench = {id: text for id, text in texts(shared_data, "math500").items() if len(words_of(text)) > 20}
    made = index(texts(shared_data, "math500"))
    changed = [
        made.match(text.replace("Find", "Determine").replace(" 2", " 7").replace("the ", "a ", 1))
        for text in bench.values()
    ]
    assert sum(match is not None for match in changed) > 0.85 * len(bench)


def test_wording_that_the_problems_of_a_bench_share_is_no_overlap() -> None:
    frame = "A farmer has {} cows and buys some more of them at the market; how many cows has he got then?"
    made = index({"a": frame.format(3), "b": frame.format(5)})
    assert made.match(frame.format(4)) is None and made.match(frame.format(5)) == ("bench", "b", "exact")


def test_an_everyday_phrase_in_a_longer_text_is_no_overlap() -> None:
    made = index({"a": "What is $x$?", "b": "What is the sum of all odd primes?"})
    assert made.match("If $x + 1 = 2$, what is x?") is None
    assert made.match("I wonder: what is the sum of all odd primes below nine?") == ("bench", "b", "8-gram")


def test_a_hundred_thousand_problems_take_seconds(shared_data: Path) -> None:
    made = index(texts(shared_data, "math500"))
    rows = list(texts(shared_data, "aime_1983_2023").values())
    start = time.perf_counter()
    for text in rows * 10:
        made.match(text)
    assert time.perf_counter() - start < 0.3 * len(rows) * 10 / 1000  # some 0.04 ms each on an idle core


def overlapping(folder: Path) -> Path:
    """A recipe whose second trace and third prompt are held out."""
    heldout = [
        {"id": str(n), "problem": f"Which two of {n}, 3 and 5 add up to {n + 5}?", "answer": "x"} for n in (7, 8)
    ]
    other = {
        "problem": "What is the capital of France, and how many live there?",
        "answer": "Paris",
        "solution": "It is.",
    }
    append_rows(folder / "heldout.jsonl", heldout)
    append_rows(folder / "traces.jsonl", [other, {**heldout[0], "solution": "\\boxed{x}"}])
    append_rows(folder / "prompts.jsonl", [other, other, {**heldout[1], "problem": heldout[1]["problem"].upper()}])
    text = TINY.replace("traces: {source: task:pair_sum, rows: 64}", "traces: {source: ./traces.jsonl}")
    text = text.replace("prompts: {source: task:pair_sum, rows: 64}", "prompts: {source: ./prompts.jsonl}")
    text = text.replace("{source: task:pair_sum, split: test, rows: 6}", "{source: ./heldout.jsonl}")
    (folder / "r.yaml").write_text(text.replace("rollout_batch: 16", "rollout_batch: 8"))
    return folder / "r.yaml"


def test_check_refuses_training_on_a_bench_unless_it_is_allowed(tmp_path: Path) -> None:
    overlapping(tmp_path)
    done = rlsp("check", "r.yaml", cwd=tmp_path, check=False)
    hint = "leave them out with rlsp data traces --decontaminate RECIPE, or set data.allow_overlap: true"
    assert done.returncode == 3 and done.stderr.splitlines() == [
        f"r.yaml:7:3: data.traces: 1 of 2 problems are in the bench heldout, such as row 2 (exact: 7) - {hint}",
        f"r.yaml:8:3: data.prompts: 1 of 3 problems are in the bench heldout, such as row 3 (exact: 8) - {hint}",
    ]
    assert "ok" in rlsp("check", "r.yaml", "data.allow_overlap=true", cwd=tmp_path).stdout


def test_what_cannot_be_read_is_told_and_no_overlap(tmp_path: Path) -> None:
    overlapping(tmp_path)
    (tmp_path / "traces.jsonl").write_text("{")
    (tmp_path / "prompts.jsonl").unlink()
    for command in ("check", "run"):
        done = rlsp(command, "r.yaml", "eval.benches=[heldout]", cwd=tmp_path, check=False)
        assert done.returncode == 3 and "problems are in the bench" not in done.stderr
        assert "traces.jsonl:1:" in done.stderr and "prompts.jsonl: no such file" in done.stderr


def test_a_stage_refuses_too_because_check_reads_no_hub_and_not_all_of_a_task(tmp_path: Path) -> None:
    overlapping(tmp_path)
    rlsp("sft", "r.yaml", "data.allow_overlap=true", "--dry-run", "--out", "run", cwd=tmp_path)
    resolved = (tmp_path / "run" / "resolved.yaml").read_text()
    (tmp_path / "run" / "resolved.yaml").write_text(resolved.replace("allow_overlap: true", "allow_overlap: false"))
    job = json.loads((tmp_path / "run" / "sft" / "job.json").read_text())["data"]
    done = subprocess.run(job["argv"], capture_output=True, text=True, check=False)
    assert done.returncode == 3 and "data.traces: 1 of 2 problems are in the bench heldout" in done.stderr


def test_a_stage_says_which_bench_it_could_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    from rlsp_cli.evals.contamination import refuse_overlap
    from rlsp_cli.recipe.load import load_recipe
    from rlsp_cli.rewards.registry import Registry

    monkeypatch.delenv("RLSP_DATA_DIR", raising=False)
    recipe = load_recipe(overlapping(tmp_path), ["eval.benches=[aime24]", "eval.data=null"], plugins=Registry())
    (tmp_path / "empty").mkdir()
    absent = recipe.model_copy(update={"eval": recipe.eval.model_copy(update={"data": str(tmp_path / "empty")})})
    refuse_overlap(absent, "traces", ["a problem"], Registry())
    assert "data.traces is not compared with a bench: bench aime24" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("around", "problem"),
    [
        (("Solve this.\n\n", "\nThink step by step."), "What is the sum of all odd primes below nine and above two?"),
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
def test_where_a_problem_stands_in_a_text_is_told_by_its_letters(around: tuple[str, str], problem: str) -> None:
    made, (before, after) = (
        index({"a": problem, "b": "Another one about trains that leave at noon from two towns."}),
        around,
    )
    text = f"{before}{problem}{after}"
    match = made.match(text)
    assert match == ("bench", "a", "8-gram")
    start, end = made.span(text, match)
    found = text[start:end]
    assert found in problem and len(found) >= len(problem) - 3, "but for signs around the first and the last word"


def test_the_span_of_every_copied_problem_is_the_problem(shared_data: Path) -> None:
    bench = texts(shared_data, "aime24")
    made = index(bench)
    for id, text in bench.items():
        start, end = made.span(f"Solve this. {text} Think.", Match("bench", id, "8-gram"))
        assert start >= 12 and end <= 12 + len(text)
        words = text.partition("[asy]")[0]
        assert end - start > 0.5 * len(words), "figures are not looked at, and some words are not its own"
        assert made.span(text, Match("bench", id, "exact")) == (0, len(text))


def training_file(folder: Path, bench: Path) -> list[dict]:
    """train.jsonl: the second row is the bench's first problem, the third has its second one in another text."""
    problems = list(read_rows(bench))
    rows = [
        {"problem": "What is the capital of France?", "answer": "Paris"},
        {"problem": problems[0]["problem"].upper(), "answer": "1"},
        {"problem": f"Try this: {problems[1]['problem']} Show your work.", "answer": "2"},
    ]
    append_rows(folder / "train.jsonl", rows)
    return problems


def test_data_check_tells_row_problem_and_place_and_exits_with_6(shared_data: Path, tmp_path: Path) -> None:
    problems = training_file(tmp_path, shared_data / "aime24.jsonl")
    arguments = ("data", "check", "train.jsonl", "--against", "aime24,math500", "--data", shared_data)
    done = rlsp(*arguments, "--json", cwd=tmp_path, check=False)
    assert done.returncode == 6
    assert done.stderr.splitlines() == ["rlsp: train.jsonl: 2 rows repeat problems of aime24"]
    data = json.loads(done.stdout)["data"]
    assert data["clean"] is False and data["sets"] == [{"role": "rows", "source": "train.jsonl", "rows": 3}]
    assert [(b["name"], b["problems"], b["problems_found"], b["rows_found"]) for b in data["benches"]] == [
        ("aime24", 30, 2, 2),
        ("math500", 500, 0, 0),
    ]
    same, inside = data["repeats"]
    assert (same["place"], same["problem"], same["rule"]) == ("train.jsonl:2", problems[0]["id"], "exact")
    assert (inside["place"], inside["problem"], inside["rule"]) == ("train.jsonl:3", problems[1]["id"], "8-gram")
    assert 10 <= inside["start"] < inside["end"] <= 10 + len(problems[1]["problem"])
    shown = rlsp(*arguments, cwd=tmp_path, check=False)
    assert shown.returncode == 6 and "train.jsonl:3" in shown.stdout and "8-gram" in shown.stdout


def test_data_check_of_clean_data_ends_with_0_whatever_the_format(shared_data: Path, tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("question,answer\nWhat is 2 + 2?,4\n")
    arguments = ("data", "check", "train.csv", "--against", "aime24", "--data", shared_data, "--problem", "question")
    done = rlsp(*arguments, "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["data"]["clean"] is True and done.stderr == ""


def test_data_that_is_missing_or_cannot_be_read_is_not_clean(shared_data: Path, tmp_path: Path) -> None:
    training_file(tmp_path, shared_data / "aime24.jsonl")
    (tmp_path / "empty").mkdir()
    arguments = ("data", "check", "train.jsonl", "--against", "aime24,math500", "--data")
    done = rlsp(*arguments, "empty", cwd=tmp_path, check=False)
    assert done.returncode == 4 and "bench aime24: empty/aime24.jsonl" in done.stderr and "bench math500" in done.stderr
    append_rows(tmp_path / "torn.jsonl", [{"problem": "Of what use is it?"}, {"problem": None}])
    done = rlsp("data", "check", "torn.jsonl", "--against", "aime24", "--data", shared_data, cwd=tmp_path, check=False)
    assert done.returncode == 3 and "rows without a problem to compare: 1, such as torn.jsonl:2" in done.stderr
    done = rlsp("data", "check", "train.jsonl", "--against", "math50", cwd=tmp_path, check=False)
    assert done.returncode == 3 and 'did you mean "math500"?' in done.stderr


def test_data_check_looks_at_all_that_a_recipe_trains_on(tmp_path: Path) -> None:
    overlapping(tmp_path)
    done = rlsp("data", "check", "r.yaml", "--against", "heldout", "--json", cwd=tmp_path, check=False)
    found = [(r["role"], r["place"], r["problem"]) for r in json.loads(done.stdout)["data"]["repeats"]]
    assert done.returncode == 6 and found == [("traces", "row 2", "7"), ("prompts", "row 3", "8")]


def test_an_evaluation_says_which_problems_the_run_was_trained_on(tmp_path: Path) -> None:
    overlapping(tmp_path)
    rlsp("sft", "r.yaml", "data.allow_overlap=true", "--dry-run", "--out", "run", cwd=tmp_path)
    spec = FromScratch(hidden_size=16, num_layers=1, num_heads=1, intermediate_size=16, max_length=64)
    save_model(tmp_path / "run" / "sft" / "checkpoints" / "final", *new_model(spec, ["Which two add up?"], 0))
    bench = "name: seen\ndescription: Seen.\nproblems: 2\nsource: ./heldout.jsonl\n"
    bench += 'prompt: {template: "{problem}", origin: o}\nverifier: {use: exact_match}\nprotocol: {samples: 0}\n'
    (tmp_path / "seen.yaml").write_text(bench)
    done = rlsp("eval", "run", "--bench", "./seen.yaml", "--max-new-tokens", 2, "--out", "one", cwd=tmp_path)
    words = "seen IS CONTAMINATED: 1 of its 2 problems are in data.traces (1 of 2 rows, such as row 2 (exact: 7))"
    assert words in " ".join(done.stderr.split()) and words in done.stdout
    results = json.loads((tmp_path / "one" / "eval" / "results.json").read_text())["data"]
    seen = {"rows_found": 1, "problems_found": 1, "rows": 2, "problems": 2, "first": "row 2 (exact: 7)"}
    assert results["benches"]["seen"]["contaminated"] == {"traces": seen}, "PPO has not trained this model"
    assert words in json.loads((tmp_path / "one" / "report.json").read_text())["data"]["notes"][0]


def test_training_data_that_cannot_be_read_is_unknown_and_not_clean(tmp_path: Path) -> None:
    recipe = load_recipe(overlapping(tmp_path), plugins=Registry())
    bench = whole_bench("heldout", recipe, Registry())
    (tmp_path / "traces.jsonl").unlink()
    seen = seen_in_training(recipe, [bench], Registry())["heldout"]
    assert "no such file" in seen["traces"]["unknown"] and seen["prompts"]["rows_found"] == 1
    unknown, found = contamination_notes({"heldout": seen})
    assert unknown.startswith("heldout: nobody knows whether data.traces holds its problems: ")
    assert "1 of its 2 problems are in data.prompts (1 of 3 rows, such as row 3 (exact: 8))" in found
