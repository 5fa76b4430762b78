"""`rlsp reward try|diff|audit` and `rlsp plugins check`, as a user calls them."""

import json
from pathlib import Path

import pytest

from rlsp_cli.runs.stream import append_rows
from tests.conftest import rlsp

pytestmark = pytest.mark.integration


def test_try_scores_one_response_with_every_component() -> None:
    response = (
        "reward",
        "try",
        "quickstart",
        "--response",
        "3 + 7 = 10. \\boxed{3 + 7}",
        "--reference",
        "3 + 7",
    )
    (row,) = json.loads(rlsp(*response, "--json").stdout)["data"]
    assert [part["component"] for part in row["components"]] == ["exact_match", "length"]
    assert row["reward"] == pytest.approx(0.8 - 0.2 * 10 / 12)
    assert "exact_match" in rlsp(*response).stdout


def test_try_scores_a_file_in_its_order_with_the_documented_keys(tmp_path: Path) -> None:
    answers = ["\\boxed{1/2}", "\\boxed{3}", "\\boxed{9^{9^{9^{9}}}}", "none"]
    rows = [{"id": str(n), "reference": "0.5", "response": text} for n, text in enumerate(answers)]
    append_rows(tmp_path / "s.jsonl", rows)
    done = rlsp(
        "reward", "try", "--verifier", "math_verify", "--samples", tmp_path / "s.jsonl", "--json"
    )
    found = json.loads(done.stdout)
    assert found["schema"] == "rlsp.reward-try/1"
    assert [set(row) for row in found["data"]] == [
        {"id", "outcome", "value", "seconds", "reason"}
    ] * 4
    assert [row["id"] for row in found["data"]] == ["0", "1", "2", "3"]
    assert [row["value"] for row in found["data"]][:2] == [1.0, 0.0] and found["data"][3][
        "value"
    ] == 0.0
    assert found["data"][2]["value"] != 1.0 and found["data"][2]["seconds"] < 10


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--verifier", "math_verify"], 2, "either --response TEXT or --samples FILE"),
        (["--response", "x"], 2, "either a recipe, --verifier NAME or --step-scorer"),
        (["--verifier", "math_verfy", "--response", "x"], 3, 'did you mean "math_verify"?'),
        (["--verifier", "math_verify", "--samples", "none.jsonl"], 3, "no such file of responses"),
    ],
)
def test_try_says_what_is_missing(arguments: list[str], code: int, words: str) -> None:
    done = rlsp("reward", "try", *arguments, check=False)
    assert done.returncode == code and words in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"id": "a"}', "s.jsonl:1: no key 'response'; its keys: id"),
        ('{"response": 3}', "s.jsonl:1: response holds int, expected str"),
        ('{"response": "x", "num_tokens": "3"}', "num_tokens holds str, expected int"),
        ("{", "s.jsonl:1:2: not valid JSON"),
    ],
)
def test_a_malformed_sample_is_told_with_its_line(tmp_path: Path, line: str, words: str) -> None:
    (tmp_path / "s.jsonl").write_text(line)
    done = rlsp(
        "reward", "try", "--verifier", "math_verify", "--samples", tmp_path / "s.jsonl", check=False
    )
    assert done.returncode == 3 and words in done.stderr


@pytest.fixture
def run(tiny_run: Path) -> Path:
    return tiny_run / "run"


def test_diff_of_a_reward_with_itself_finds_nothing(run: Path) -> None:
    found = json.loads(rlsp("reward", "diff", run, "--json").stdout)["data"]
    assert found["responses"] == found["compared"] == 64
    assert found["now_right"] == found["now_wrong"] == 0 and found["sign_changes"] == 0.0
    assert found["rank_correlation"] == pytest.approx(1.0)


def test_diff_with_another_reward_counts_flips_ranks_and_signs(run: Path, tmp_path: Path) -> None:
    linear = "reward.exploration={use: length, form: linear, scale: 20}"
    data = json.loads(rlsp("reward", "diff", run, linear, "--json").stdout)["data"]
    assert data["rank_correlation"] > 0.5  # both grow with length
    always = tmp_path / "always.py"
    head = "from rlsp_cli.rewards import Sample, verifier\n\n@verifier\n"
    always.write_text(f"{head}def always(sample: Sample) -> bool:\n    return True\n")
    done = rlsp("reward", "diff", run, f"reward.correctness={{use: {always}:always}}")
    assert "now right" in done.stdout and "Flipped verdicts" in done.stdout


def test_diff_refuses_a_schedule_whose_end_it_cannot_know(run: Path) -> None:
    changes = ("reward.alpha={start: 0.2, end: 1.0}", "ppo.steps=null")
    done = rlsp("reward", "diff", run, *changes, check=False)
    assert done.returncode == 2 and "give reward.alpha.steps or ppo.steps" in done.stderr
    rlsp("reward", "diff", run, changes[0])


def test_audit_of_the_papers_length_reward_names_the_tricks_that_pay() -> None:
    done = rlsp("reward", "audit", "quickstart", "--problems", 2, "--json", check=False)
    assert done.returncode == 6 and "attacks pay" in done.stderr
    found = {row["attack"]: row for row in json.loads(done.stdout)["data"]}
    assert found["padding"]["is_hole"] and found["filler wait"]["is_hole"]
    for attack in (
        "empty",
        "only the box",
        "many boxes",
        "all candidates",
        "right in the thinking only",
        "unicode",
    ):
        assert not found[attack]["is_hole"], attack
    assert all(row["beats_right"] == 0 for row in found.values())


def test_audit_of_an_outcome_reward_finds_no_hole() -> None:
    done = rlsp("reward", "audit", "ablations/outcome_only", "--problems", 2)
    assert "look here" not in done.stdout


def test_audit_with_math_verify_stays_within_the_deadline(tmp_path: Path) -> None:
    rows = [
        {"id": str(n), "problem": f"What is {n}/7?", "answer": f"\\frac{{{n}}}{{7}}"}
        for n in (3, 4)
    ]
    append_rows(tmp_path / "p.jsonl", rows)
    (tmp_path / "r.yaml").write_text(
        "schema_version: 1\nname: a\nmodel: {from_scratch: {}}\ndata: {prompts: {source: ./p.jsonl}}\n"
        "reward: {correctness: {use: math_verify}, timeout_s: 2}\n"
    )
    found = json.loads(
        rlsp("reward", "audit", tmp_path / "r.yaml", "--problems", 2, "--json").stdout
    )["data"]
    assert {row["attack"]: row["is_hole"] for row in found} == {
        row["attack"]: False for row in found
    }


BROKEN = """
import random, threading
from rlsp_cli.rewards import Sample, exploration_reward, verifier

@exploration_reward
def dice(sample: Sample) -> float:
    return random.random()

@exploration_reward
def hashed(sample: Sample) -> float:
    return float(hash(sample.response) % 1000)

@exploration_reward
def fragile(sample: Sample) -> float:
    return 1 / len(sample.response)

@verifier
def generous(sample: Sample) -> float:
    return 7.0

@exploration_reward
def good(sample: Sample) -> float:
    return min(len(sample.response), 10) / 10
"""


def test_plugins_check_names_what_is_wrong_with_each(tmp_path: Path) -> None:
    (tmp_path / "b.py").write_text(BROKEN)
    done = rlsp("plugins", "check", tmp_path / "b.py", "--json", check=False)
    assert done.returncode == 6
    failed = {
        (row["plugin"], row["check"])
        for row in json.loads(done.stdout)["data"]
        if row["result"] == "FAILED"
    }
    assert ("dice", "the same from thread") in failed and (
        "hashed",
        "the same from another process",
    ) in failed
    assert ("fragile", "finite, and no exception") in failed and (
        "generous",
        "gives a value",
    ) in failed
    assert "good" not in {name for name, _ in failed}


def test_plugins_check_passes_what_rlsp_ships_and_refuses_a_file_without_rewards(
    tmp_path: Path,
) -> None:
    assert "FAILED" not in rlsp("plugins", "check", "math_verify").stdout
    (tmp_path / "none.py").write_text("x = 1\n")
    done = rlsp("plugins", "check", tmp_path / "none.py", check=False)
    assert (
        done.returncode == 3
        and "no verifier, exploration reward, step scorer, selector, continuation or" in done.stderr
    )


def test_plugins_check_takes_the_metadata_that_a_plugin_needs_from_samples(tmp_path: Path) -> None:
    assert "KeyError: 'numbers'" in rlsp("plugins", "check", "countdown", check=False).stdout
    row = {"response": "\\boxed{2 * 3}", "reference": "6", "metadata": {"numbers": [2, 3]}}
    append_rows(tmp_path / "s.jsonl", [row])
    done = rlsp("plugins", "check", "countdown", "--samples", tmp_path / "s.jsonl")
    assert "FAILED" not in done.stdout and "0 to 1" in done.stdout
