"""`rlsp data pairs`: which responses become pairs, and what is written of the others."""

import json
from pathlib import Path
from typing import Any

import pytest

from rlsp_cli.data import preference_rows
from rlsp_cli.errors import DataError, UsageError
from rlsp_cli.recipe.rows import PreferenceRows
from rlsp_cli.traces import DataCard, PairJob, PairSettings, make_pairs
from tests.conftest import rlsp


def response(problem: str, text: str, value: float | None, **more: Any) -> dict[str, Any]:
    judged = {"outcome": "error" if value is None else "value", "value": value}
    row = {"id": problem, "problem": problem, "response": text, "reference": "4"}
    return {**row, "correctness": judged, **more}


ROWS = [
    response("a?", "four", 1.0),
    response("a?", "five", 0.0),
    response("a?", " four ", 1.0),
    response("a?", "six", 0.0),
    response("a?", "4, so four", 1.0),
    response("a?", "seven", 0.0),
    response("b?", "four", 1.0),
    response("c?", "nine", 0.0),
    response("d?", "half", 0.5),
    response("d?", "broken", None),
    response("d?", "four", 1.0),
    response("d?", "<think> never", 0.0),
    response("d?", "cut", 0.0, truncated=True),
    response("d?", "tool said 5", 0.0, turns={"said": []}),
    response("d?", "five", 0.0),
]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def make(source: Path, **settings: Any) -> tuple[DataCard, list[tuple[str, str, str]]]:
    out = source.with_name("pairs.jsonl")
    job = PairJob([source], out, "rlsp data pairs", PairSettings(**settings))
    card = make_pairs(job)
    found = preference_rows(PreferenceRows(source=str(out)))
    return card, [(one.prompt, one.chosen, one.rejected) for one in found]


def test_a_right_and_a_wrong_response_are_paired_and_each_is_in_one_pair(tmp_path: Path) -> None:
    card, found = make(write(tmp_path / "samples.jsonl", ROWS))

    assert found == [
        ("a?", "four", "five"),
        ("a?", "4, so four", "six"),
        ("d?", "four", "five"),
    ]
    reasons = {one.name: {why: r.rows for why, r in one.reasons.items()} for one in card.filters}
    assert reasons == {
        "read": {
            "response cut off": 1,
            "a response in turns: what others said would be learned too": 1,
        },
        "thinking": {"thinking not closed": 1},
        "verdict": {"no verdict": 1, "only partly right": 1},
        "pair": {"no wrong response to the problem": 1, "no right response to the problem": 1},
    }
    assert card.verifier == {"use": "the verdicts in the sources"}
    assert card.problems == 2 and card.lengths["max"] == 3
    assert (tmp_path / "pairs.card.md").exists()


def test_a_problem_has_at_most_so_many_pairs(tmp_path: Path) -> None:
    _, found = make(write(tmp_path / "samples.jsonl", ROWS), per_problem=1)
    assert [problem for problem, _, _ in found] == ["a?", "d?"]


def test_a_verifier_judges_anew(tmp_path: Path) -> None:
    rows = [response("a?", "so \\boxed{4}", 0.0), response("a?", "so \\boxed{5}", 1.0)]
    card, found = make(write(tmp_path / "samples.jsonl", rows), verifier="exact_match")
    assert found == [("a?", "so \\boxed{4}", "so \\boxed{5}")]
    assert card.verifier and card.verifier["use"] == "exact_match"


def test_a_row_of_ones_own_needs_a_problem_a_response_and_whether_it_is_correct(
    tmp_path: Path,
) -> None:
    rows = [
        {"problem": "a?", "response": "4", "correct": True},
        {"problem": "a?", "response": "5", "correct": False},
        {"response": "5", "correct": False},
    ]
    card, found = make(write(tmp_path / "mine.jsonl", rows))
    assert found == [("a?", "4", "5")]
    assert "no key 'problem'" in card.filters[0].reasons_text


def test_copies_of_a_benchs_problems_are_left_out(tmp_path: Path) -> None:
    asked = "In how many ways can seven different books be put on a shelf of three places?"
    write(tmp_path / "heldout.jsonl", [{"problem": asked, "answer": "210"}])
    (tmp_path / "r.yaml").write_text(
        "name: r\nmodel: {path: m}\ndata: {heldout: {source: heldout.jsonl}}\neval: {}\n"
    )
    copied = [response(asked, "210", 1.0), response(asked, "35", 0.0)]
    source = write(tmp_path / "samples.jsonl", [*ROWS, *copied])
    card, found = make(source, decontaminate=str(tmp_path / "r.yaml"))

    assert len(found) == 3 and [bench.name for bench in card.benches] == ["heldout"]
    again = write(tmp_path / "again.jsonl", copied)
    settings = PairSettings(decontaminate=str(tmp_path / "r.yaml"))
    with pytest.raises(DataError, match="decontaminate: none of 2 rows is left"):
        make_pairs(PairJob([again], tmp_path / "other.jsonl", "", settings))
    assert not (tmp_path / "other.jsonl").exists()


def test_where_no_pair_is_left_the_reason_is_told(tmp_path: Path) -> None:
    source = write(tmp_path / "samples.jsonl", [response("a?", "4", 1.0)] * 2)
    with pytest.raises(DataError, match=r"pair: none of 2 rows is left; .* no wrong response"):
        make(source)
    (tmp_path / "pairs.jsonl").touch()
    with pytest.raises(UsageError, match="exists already"):
        make(source)
    with pytest.raises(DataError, match=r"no such file; name rollouts\.jsonl"):
        make(tmp_path / "no-run" / "x.jsonl")


def test_a_runs_rollouts_are_of_the_problems_in_its_recipe(tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "ppo").mkdir(parents=True)
    write(tmp_path / "p.jsonl", [{"problem": "2+2?", "answer": "4", "id": "x"}])
    (run / "resolved.yaml").write_text(
        f"name: r\nmodel: {{path: m}}\ndata: {{prompts: {{source: {tmp_path}/p.jsonl}}}}\nppo: {{}}\n"
    )
    rows = [
        {**response("", text, value), "id": id, "prompt": f"User: {asked}"}
        for text, value, id, asked in (
            ("4", 1.0, "x", "2+2?"),
            ("5", 0.0, "x", "2+2?"),
            ("6", 0.0, "x", "3+3?"),
            ("7", 0.0, "y", "2+2?"),
        )
    ]
    write(run / "ppo" / "rollouts.jsonl", rows)
    out = tmp_path / "pairs.jsonl"
    done = rlsp("data", "pairs", run, "--out", out, "--json")

    (pair,) = [json.loads(line) for line in out.read_text().splitlines()]
    assert (pair["prompt"], pair["chosen"], pair["rejected"]) == ("2+2?", "4", "5")
    (read, *_) = json.loads(done.stdout)["data"]["filters"]
    assert len(read["reasons"]) == 2 and read["after"] == 2
