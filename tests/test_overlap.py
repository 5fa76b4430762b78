"""Training data that holds problems of a bench: what counts, what does not, and what `rlsp check` says."""

import json
import subprocess
import time
from pathlib import Path

import pytest

from rlsp_cli.data.overlap import OverlapIndex, same_text, words_of
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


def test_check_leaves_what_it_cannot_read_to_the_run(tmp_path: Path) -> None:
    overlapping(tmp_path)
    (tmp_path / "traces.jsonl").write_text("{")
    (tmp_path / "prompts.jsonl").unlink()
    rlsp("check", "r.yaml", "eval.benches=[heldout, aime24]", cwd=tmp_path)


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
