"""Benches for scorers against hand computations: the first wrong step, ranks, and the note before training."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from rlsp_cli.errors import DataError, NotReadyError, UsageError
from rlsp_cli.evals.scorer_benches import (
    ScorerBenchFile,
    check_measured,
    find_scorer_bench,
    measure_scorer,
    read_labelled,
    shipped_scorer_benches,
    write_result,
)
from rlsp_cli.evals.scorer_benches.first_error import (
    FirstError,
    Pair,
    chosen_threshold,
    combined,
    first_error,
    harmonic,
    measured_errors,
)
from rlsp_cli.evals.scorer_benches.ranking import ranking
from rlsp_cli.evals.scorer_benches.responses import Labelled
from rlsp_cli.evals.statistics import Estimate
from rlsp_cli.recipe.load import resolve_recipe
from rlsp_cli.recipe.plugin_use import ScorerUse
from rlsp_cli.recipe.steps import Steps
from rlsp_cli.rewards.registry import resolve_options
from rlsp_cli.rewards.sample import Sample, Score, StepScore
from tests.conftest import rlsp
from tests.step_scorer_file import SUMS

ASKED = """\
    with open("asked.txt", "a") as file:
        file.write(f"{sample.id}\\n")
    scores = []
"""
"""What has `sums` write down what it scores."""


def pair(scores: Sequence[float | None], label: int, subset: str = "a", number: int = 0) -> Pair:
    """A chain with these step scores, whose first wrong step is `label`."""
    id = f"{subset}-{number}"
    response = Labelled(id, subset, Sample("", ""), ("x",) * len(scores), label, label < 0)
    known = [score for score in scores if score is not None]
    steps = [StepScore(0, 0, score, score) for score in scores]
    if not known:
        return Pair(response, Score("s", "abstain", steps=steps))
    return Pair(response, Score("s", "value", min(known), steps=steps))


def test_the_first_step_below_the_threshold_is_the_error() -> None:
    assert first_error([0.9, 0.4, 0.1], 0.5) == 1
    assert first_error([0.9, None, 0.5], 0.5) == -1
    assert first_error([], 0.5) == -1


def test_f1_is_the_harmonic_mean_of_exact_indices_and_of_right_chains() -> None:
    pairs = [
        pair([0.9, 0.1], 1, number=0),  # found
        pair([0.1, 0.1], 1, number=1),  # too early
        pair([0.9, 0.9], 0, number=2),  # overlooked
        pair([0.2, 0.9], 0, number=3),  # found
        pair([0.9, 0.9], -1, number=4),  # found to be right
        pair([0.9, 0.4], -1, number=5),  # a false alarm
        pair([0.9], -1, number=6),  # found to be right
        pair([None, None], 1, number=7),  # no score: in no share
    ]
    found = measured_errors(pairs, 0.5)
    assert (found.chains, found.unscored) == (8, 1)
    assert found.on_wrong and found.on_right and found.f1 and found.auroc
    assert found.on_wrong.value == pytest.approx(2 / 4)
    assert found.on_right.value == pytest.approx(2 / 3)
    assert found.f1.value == pytest.approx(2 * (1 / 2) * (2 / 3) / (1 / 2 + 2 / 3))
    assert found.f1.low < found.f1.value < found.f1.high

    # Of right aggregates .9 .4 .9 and wrong ones .1 .1 .9 .2: 9 pairs in order, 2 ties.
    assert found.auroc.value == pytest.approx((9 + 2 / 2) / 12)


def test_a_bench_of_one_kind_has_no_f1() -> None:
    found = measured_errors([pair([0.9], -1)], 0.5)
    assert found.f1 is None and found.on_wrong is None and found.auroc is None


def test_limits_add_up_in_squares() -> None:
    parts = [Estimate(0.5, 0.3, 0.7), Estimate(0.6, 0.2, 0.9)]
    mean = combined(lambda one, other: (one + other) / 2, parts)
    assert mean.value == pytest.approx(0.55)
    assert mean.low == pytest.approx(0.55 - (0.1**2 + 0.2**2) ** 0.5)
    assert mean.high == pytest.approx(0.55 + (0.1**2 + 0.15**2) ** 0.5)
    assert harmonic(0.0, 1.0) == 0.0


def test_a_threshold_chosen_on_a_subset_leaves_that_subset_out() -> None:
    tuned = [pair([0.9, 0.6], 1, "gsm8k", 0), pair([0.8, 0.9], -1, "gsm8k", 1)]
    assert 0.6 < chosen_threshold(tuned) <= 0.8
    others = [pair([0.7, 0.65], 0, "math", 0), pair([0.95], -1, "math", 1)]
    pairs = [*tuned, *others]

    bench = find_scorer_bench("processbench")
    scorer = ScorerUse(use="s", steps=Steps())
    responses, scores = [one.response for one in pairs], [one.score for one in pairs]
    chosen = measure_scorer(bench, scorer, {}, responses, scores, "gsm8k")
    assert chosen.threshold and chosen.threshold.chosen_on == "gsm8k"
    assert list(chosen.subsets) == ["math"]

    fixed = measure_scorer(bench, scorer, {}, responses, scores, 0.75)
    assert fixed.threshold == (0.75, None) and list(fixed.subsets) == ["gsm8k", "math"]
    math = fixed.subsets["math"]
    assert isinstance(math, FirstError) and math.f1 and math.f1.value == 1.0
    with pytest.raises(UsageError, match="found: gsm8k, math"):
        measure_scorer(bench, scorer, {}, responses, scores, "omnimath")


def test_a_tie_counts_against_the_chosen_and_apart() -> None:
    def problem(id: str, chosen: list[float | None], rejected: list[float]) -> list[Pair]:
        scored = [(score, True) for score in chosen] + [(score, False) for score in rejected]
        return [
            Pair(
                Labelled(id, "a", Sample("", ""), None, None, right),
                Score("s", "abstain" if score is None else "value", score),
            )
            for score, right in scored
        ]

    found = ranking(
        [
            *problem("won", [0.9, 0.8], [0.7, 0.1]),
            *problem("tied", [0.5], [0.5, 0.4, 0.3]),
            *problem("lost", [0.9, 0.2], [0.5, 0.3, 0.1]),
            *problem("unknown", [None], [0.5]),
        ]
    )
    assert (found.problems, found.unscored, found.ties) == (4, 1, 1)
    assert found.accuracy and found.accuracy.value == pytest.approx(1 / 3)
    assert found.reciprocal_rank
    assert found.reciprocal_rank.value == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)


def write(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


CHAIN = {"id": "math-3", "problem": "p", "steps": ["1+1=2"], "label": -1}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"label": 1}, r"label holds 1, expected -1, or the index of one of 1 steps"),
        ({"label": True}, "label holds True"),
        ({"steps": "1+1"}, "steps holds '1\\+1', expected a list of texts"),
        ({"steps": None}, "no column 'steps'"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    rows = [{**CHAIN, "final_answer_correct": True}] * 2
    path = write(tmp_path / "b.jsonl", [rows[0], {**rows[1], **change}])
    with pytest.raises(DataError, match=rf"b\.jsonl:2: {words}"):
        read_labelled(find_scorer_bench("processbench"), path)


def test_subsets_of_a_file_are_told_by_column_or_id(tmp_path: Path) -> None:
    row = {**CHAIN, "final_answer_correct": False}
    rows = [row, {**row, "id": "7", "subset": "gsm8k"}, {**row, "id": "9"}]
    write(tmp_path / "processbench.jsonl", rows)
    found = read_labelled(find_scorer_bench("processbench"), tmp_path)
    assert [one.subset for one in found] == ["math", "gsm8k", "processbench"]
    assert (found[0].first_error, found[0].right) == (-1, False)
    with pytest.raises(NotReadyError, match="name the file itself by --data FILE"):
        read_labelled(find_scorer_bench("rewardmath"), tmp_path)


def test_every_shipped_bench_can_be_read() -> None:
    for name in shipped_scorer_benches():
        assert find_scorer_bench(name).name == name


def test_a_step_scorer_that_no_bench_has_measured_is_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "steps.py"
    file.write_text(SUMS)

    def notes(wrong: float) -> list[str]:
        use = {"use": f"{file}:sums", "wrong": wrong, "steps": {}}
        data = {
            "name": "x",
            "model": {"path": "m"},
            "data": {"prompts": {"source": "task:pair_sum"}},
            "reward": {"exploration": use},
            "ppo": {},
        }
        return list(map(str, check_measured(resolve_recipe(data, plugins=resolve_options))))

    (note,) = notes(0.25)
    assert "which no bench for scorers in runs/ has measured - rlsp eval --bench" in note

    bench = ScorerBenchFile(
        kind="scorer", name="b", description="", measure="first_error", source="x", subsets=("a",)
    )
    scorer = ScorerUse.model_validate({"use": f"{file}:sums", "wrong": 0.25, "steps": {}})
    for folder, scored, is_noted in (("1", pair([None], -1), True), ("2", pair([0.9], -1), False)):
        responses, scores = [scored.response], [scored.score]
        result = measure_scorer(bench, scorer, {}, responses, scores, 0.5)
        write_result(tmp_path / "runs" / "scorer-b" / folder, result)
        assert bool(notes(0.25)) == is_noted  # one without a score measures nothing
    assert notes(0.5)  # with other options it is another scorer


@pytest.mark.integration
def test_a_scorer_is_measured_from_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "steps.py").write_text(SUMS.replace("    scores = []\n", ASKED))
    rows = []
    for number in range(8):
        label = number % 2 - 1  # -1, then 0
        steps = ["1+1=3" if label == 0 else "1+1=2", "so", "2+2=4"]
        named = {"id": f"gsm8k-{number}", "problem": "p", "steps": steps, "label": label}
        rows.append({**named, "final_answer_correct": label < 0})
    rows.append({**rows[0], "id": "gsm8k-9", "steps": ["(=2"]})
    write(tmp_path / "processbench.jsonl", rows)

    asked = ("eval", "--bench", "processbench", "--scorer", "./steps.py:sums", "wrong=0.4")
    done = rlsp(*asked, "--data", ".", "--out", "o", "--json", cwd=tmp_path)
    (found,) = json.loads(done.stdout)["data"]
    assert found["f1"]["value"] == 1.0 and found["failures"] == {"error": 1}
    assert found["threshold"] == {"value": 0.5, "chosen_on": None}
    assert found["scorer"]["wrong"] == 0.4
    assert "1 of 9 responses: error: SyntaxError" in done.stderr
    assert len((tmp_path / "o" / "scores.jsonl").read_text().splitlines()) == 9

    # Killed after four responses: those are not scored again, and one that failed is.
    scores, asked_for = tmp_path / "o" / "scores.jsonl", tmp_path / "asked.txt"
    lines = scores.read_text().splitlines(keepends=True)
    scores.write_text("".join([lines[8], *lines[:4], lines[4][:30]]))
    asked_for.unlink()
    done = rlsp(*asked, "--data", ".", "--out", "o", "--resume", "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["data"] == [found]
    again = sorted(asked_for.read_text().split())
    assert again == [f"gsm8k/gsm8k-{number}" for number in (4, 5, 6, 7, 9)]

    other = (*asked[:-1], "wrong=0.3", "--data", ".", "--out", "o", "--resume")
    done = rlsp(*other, cwd=tmp_path, check=False)
    assert (
        done.returncode == 3 and "the scores here were made differently (scorer was" in done.stderr
    )
    done = rlsp(*asked, "--data", ".", "--out", "none", "--resume", cwd=tmp_path, check=False)
    assert done.returncode == 2 and "none: no measurement here to resume" in done.stderr

    # 0.4 is then no error: every wrong chain is overlooked, and the harmonic mean is 0.
    shown = rlsp(*asked, "--data", ".", "--threshold", "0.3", cwd=tmp_path).stdout
    assert "a step is wrong below 0.3, fixed before" in shown and "0.000 [" in shown

    for more, words in (
        (("--bench", "aime24", "--scorer", "length"), "aime24 is no bench for scorers"),
        (("--bench", "processbench", "--scorer", "length"), "processbench needs a step scorer"),
        (("a-model", "--bench", "processbench"), "add --scorer NAME"),
    ):
        done = rlsp("eval", *more, cwd=tmp_path, check=False)
        assert done.returncode in (2, 3) and words in done.stderr
