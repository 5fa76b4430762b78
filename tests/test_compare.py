"""`rlsp compare`, score cards and `--fail-below`: from the command line, on evaluations of given responses."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rlsp_cli.errors import CheckError, UsageError
from rlsp_cli.evals.compare import compare
from rlsp_cli.evals.fail_below import read_limits, refuse_below
from rlsp_cli.evals.saved_answers import read_answers, short_names
from rlsp_cli.evals.statistics import Estimate
from rlsp_cli.runs.stream import write_json
from tests.conftest import rlsp

PROBLEMS = 40
VERIFIER = {"use": "math_verify"}
MADE = {
    "bench_digest": "a" * 64,
    "prompt_digest": "b" * 64,
    "verifier": VERIFIER,
    "temperature": 0.7,
}


def evaluation(root: Path, chances: np.ndarray, seed: int, made: dict[str, Any] = MADE) -> Path:
    """The folder of an evaluated run, with four responses to each problem."""
    rng = np.random.default_rng(seed)
    rows = [
        {
            "id": str(i),
            "kind": "sample",
            "index": j,
            "correctness": {"outcome": "value", "value": float(right)},
        }
        for i, chance in enumerate(chances)
        for j, right in enumerate(rng.random(4) < chance)
    ]
    folder = root / "eval" / "base" / "aime24"
    folder.mkdir(parents=True)
    (folder / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_json(folder / "protocol.json", made)
    return root


@pytest.fixture
def chances() -> np.ndarray:
    return np.random.default_rng(0).beta(1, 1, PROBLEMS) * 0.6


def test_a_better_model_is_told_from_a_worse_one_and_equal_ones_are_not(
    tmp_path: Path, chances: np.ndarray
) -> None:
    base, same, better = (
        evaluation(tmp_path / name, p, seed)
        for seed, (name, p) in enumerate(
            {"base": chances, "same": chances, "better": chances + 0.3}.items()
        )
    )
    (equal,) = compare(read_answers(base), read_answers(same)).comparisons
    assert (
        equal.moved.verdict == "cannot be told apart" and equal.moved.low <= 0 <= equal.moved.high
    )
    (comparison,) = compare(read_answers(base), read_answers(better)).comparisons
    found = comparison.moved
    assert found.verdict == "better" and found.low < 0.3 < found.high and found.p_value < 0.001
    assert found.problems == PROBLEMS and found.detectable and found.detectable < 0.2
    (back,) = compare(read_answers(better), read_answers(base)).comparisons
    assert (
        back.moved.difference == pytest.approx(-found.difference) and back.moved.verdict == "worse"
    )


@pytest.mark.parametrize(
    ("made", "words"),
    [
        ({**MADE, "bench_digest": "c" * 64}, "bench_digest differs: aaaaaaaaaaaa and cccccccccccc"),
        ({**MADE, "prompt_digest": "c" * 64}, "prompt_digest differs"),
        ({**MADE, "verifier": {"use": "exact_match"}}, "verifier differs"),
        ({"bench_digest": "a" * 64, "verifier": VERIFIER}, "prompt_digest of .*other is not known"),
    ],
)
def test_what_was_made_differently_is_compared_only_when_told_to(
    tmp_path: Path, chances: np.ndarray, made: dict[str, Any], words: str
) -> None:
    base = evaluation(tmp_path / "base", chances, 1)
    other = evaluation(tmp_path / "other", chances, 2, made)
    with pytest.raises(UsageError, match=words):
        compare(read_answers(base), read_answers(other))
    found = compare(read_answers(base), read_answers(other), allow=True)
    assert len(found.comparisons) == len(found.differs) == 1


@pytest.mark.integration
def test_the_command_prints_words_and_numbers_and_names_other_differences(
    tmp_path: Path, chances: np.ndarray
) -> None:
    evaluation(tmp_path / "a", chances, 1)
    evaluation(tmp_path / "b", chances, 2, {**MADE, "temperature": 1.0})
    done = rlsp("compare", "a", "b/eval/base/aime24/samples.jsonl", cwd=tmp_path)
    assert (
        "cannot be told apart" in done.stdout and "temperature differs: 0.7 and 1.0" in done.stdout
    )
    data = json.loads(rlsp("compare", "a", "b", "--json", cwd=tmp_path).stdout)["data"]
    assert data["comparisons"][0]["from"] == "a" and data["comparisons"][0]["problems"] == PROBLEMS
    (tmp_path / "alone.jsonl").write_text(
        (tmp_path / "a/eval/base/aime24/samples.jsonl").read_text()
    )
    done = rlsp("compare", "a", "alone.jsonl", cwd=tmp_path, check=False)
    assert done.returncode == 2 and "bench_digest of alone.jsonl is not known" in done.stderr
    assert "0.0" in rlsp("compare", "a", "alone.jsonl", "--allow-differences", cwd=tmp_path).stdout


def test_what_cannot_be_compared_says_why(tmp_path: Path, chances: np.ndarray) -> None:
    with pytest.raises(UsageError, match="no evaluation here"):
        read_answers(tmp_path)
    run = evaluation(tmp_path / "run", chances, 1)
    other = run / "eval" / "ppo" / "aime24"
    other.mkdir(parents=True)
    (other / "samples.jsonl").write_text("")
    other.parent.rename(run / "eval" / "other")
    with pytest.raises(
        UsageError, match=r"2 models were evaluated here; name one: .*eval/base, .*eval/other"
    ):
        read_answers(run)
    (run / "eval" / "other").rename(other.parent)
    assert [one.label for one in read_answers(run)] == [str(run / "eval" / "ppo")]
    with pytest.raises(UsageError, match="no problem that both answered"):
        compare(read_answers(run / "eval" / "base"), read_answers(run / "eval" / "ppo"), allow=True)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six problems, and responses to them: four to some, three to the others."""
    folder = tmp_path_factory.mktemp("bench")
    problems = [{"id": str(i), "problem": f"{i} + 1", "answer": str(i + 1)} for i in range(6)]
    (folder / "aime24.jsonl").write_text("".join(json.dumps(row) + "\n" for row in problems))
    answers: list[list[str | None]] = [
        ["1", "1", "5", "7"],
        ["2", "x", "3"],
        ["0.5", "1/2", "3"],
        ["8", "8", "8"],
        ["5"] * 4,
        ["6", "6", None],
    ]
    rows = [
        {
            "id": str(i),
            "response": "I do not know" if answer is None else f"\\boxed{{{answer}}}",
            "truncated": not answer,
        }
        for i, several in enumerate(answers)
        for answer in several
    ]
    (folder / "r.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def evaluate(bench: Path, *more: object, check: bool = True) -> Any:
    done = rlsp(
        "eval", "--bench", "aime24", "--data", "aime24.jsonl", "--responses", "r.jsonl", "--json", *more,
        cwd=bench, check=check,
    )  # fmt: skip
    assert check or done.returncode == 6, done.stderr
    return {"stderr": done.stderr, **json.loads(done.stdout)["data"]["benches"]["aime24"]}


@pytest.mark.integration
def test_the_score_card_of_given_responses(bench: Path) -> None:
    card = evaluate(bench, "--fail-below", "aime24=0.99", check=False)
    means = [2 / 4, 1 / 3, 1 / 3, 0, 1, 2 / 3]
    assert (card["problems"], card["samples"]) == (6, 20)
    assert card["avg"] == pytest.approx(np.mean(means))
    low, high = card["avg_ci"]
    assert 0 <= low < card["avg"] < high <= 1
    assert card["pass_at"] == pytest.approx(
        {"1": np.mean(means), "2": (5 / 6 + 2 / 3 * 2 + 0 + 1 + 1) / 6, "3": 5 / 6}
    )
    # Of three responses: "1" wins unless it is drawn once with 5 and 7; 2, x, 3 tie; 0.5 and 1/2
    # outvote 3.
    assert card["maj_at"]["3"] == pytest.approx(
        (1 / 2 * 1 + 1 / 2 * 1 / 3 + 1 / 3 + 0 + 0 + 1 + 1) / 6
    )
    assert card["unanswered"] == card["truncated"] == 1 / 20 and card["timeouts"] == 0
    assert (
        f"accuracy {card['avg']:.4f} (95%: {low:.4f} to {high:.4f}) is below 0.99" in card["stderr"]
    )
    assert card["protocol"]["samples"] == 4


@pytest.mark.integration
def test_k_beyond_the_responses_is_refused_and_within_them_given(bench: Path) -> None:
    assert list(evaluate(bench, "eval.k=[1,3]")["pass_at"]) == ["1", "3"]
    for change in ("eval.k=[4]", "eval.samples=4"):
        done = rlsp(
            "eval", "--bench", "aime24", "--data", "aime24.jsonl", "--responses", "r.jsonl", change,
            cwd=bench, check=False,
        )  # fmt: skip
        assert done.returncode == 3 and "problem '1': 3 responses given, 4 wanted" in done.stderr
    done = rlsp(
        "eval", "m", "--bench", "aime24", "eval.samples=4", "eval.k=[8]", cwd=bench, check=False
    )
    assert (
        done.returncode == 3
        and "pass@8 needs at least 8 samples of aime24; 4 are drawn" in done.stderr
    )


def test_floors_are_read_and_held() -> None:
    assert (
        read_limits(["0.5"], ["aime24"])
        == read_limits(["aime24=0.5"], ["aime24", "math500"])
        == {"aime24": 0.5}
    )
    for text, words in (
        ("0.5", "which of"),
        ("gsm8k=0.5", "gsm8k is not evaluated"),
        ("aime24=70", "from 0 to 1"),
    ):
        with pytest.raises(UsageError, match=words):
            read_limits([text], ["aime24", "math500"])
    accuracy = Estimate(0.5, 0.4, 0.6)
    refuse_below({"aime24": accuracy}, {"aime24": 0.5})
    with pytest.raises(
        CheckError, match=r"aime24: accuracy 0.5000 \(95%: 0.4000 to 0.6000\) is below 0.51"
    ):
        refuse_below({"aime24": accuracy}, {"aime24": 0.51})
    with pytest.raises(CheckError, match="no response could be scored"):
        refuse_below({"aime24": None}, {"aime24": 0.1})


@pytest.mark.parametrize(
    ("a", "b", "names"),
    [
        ("runs/x/1", "runs/x/2", ["1", "2"]),
        ("runs/x/1/eval/ppo", "runs/y/1/eval/ppo", ["x", "y"]),
        ("/long/way/before", "/long/way/after", ["before", "after"]),
        ("a", "b/eval/base/aime24/samples.jsonl", ["a", "samples.jsonl"]),
    ],
)
def test_what_is_compared_is_called_by_what_tells_it_apart(
    a: str, b: str, names: list[str]
) -> None:
    assert short_names(a, b) == dict(zip(names, (a, b), strict=True))
