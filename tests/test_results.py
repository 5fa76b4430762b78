"""Rows and results of an evaluation as files have them: what is written is read back, and what is wrong is named."""

import copy
import json
import math
from collections.abc import Callable
from typing import Any

import pytest

from rlsp_cli.evals.answer import CONFIDENCE, LOGPROB, SAMPLE, Answer, Scored
from rlsp_cli.evals.compare import compare_in_order
from rlsp_cli.evals.metrics import summarise
from rlsp_cli.evals.overlap import Contamination
from rlsp_cli.evals.results import BenchResult, ModelResult, Results
from rlsp_cli.evals.score_card import score_cards
from rlsp_cli.rewards.sample import Outcome, Score
from tests.provenance import made


def scored(id: str, index: int, value: float | None, **more: Any) -> Scored:
    outcome: Outcome = "timeout" if value is None else "value"
    score = Score("v", outcome, value, answer="3")
    return Scored(id=id, kind=SAMPLE, index=index, correctness=score, **more)


ROWS = [scored(str(i), j, float(i > j), response="Three.") for i in range(3) for j in range(2)]


GREEDY = summarise([scored(str(i), 0, float(i > 0)) for i in range(3)])
BOTH = BenchResult(made(3), greedy=GREEDY, sample=summarise(ROWS))


def results(models: int = 2) -> Results:
    labels = ["base", "ppo"][:models]
    answers = {label: {"sums": ROWS} for label in labels}
    return Results(
        models={label: ModelResult(label, {"sums": BOTH}) for label in labels},
        comparisons=compare_in_order(answers),
        verifier={"use": "math_verify"},
        contaminated={"sums": {"traces": Contamination(rows=4, problems=3, rows_found=1)}},
    )


def test_a_row_without_scores_or_tokens_is_read_back_as_it_was() -> None:
    bare = Answer("a", SAMPLE, 3, response="7")
    assert "scores" not in bare.to_json() and bare.to_json()["num_tokens"] is None
    assert Answer.from_json(json.loads(json.dumps(bare.to_json()))) == bare
    full = scored("a", 0, None, scores={"rm": 0.5}, num_tokens=4, truncated=True)
    assert Scored.from_json(json.loads(json.dumps(full.to_json()))) == full
    assert Answer.from_json(
        {"id": "a", "kind": SAMPLE, "scores": {"rm": None}, "more": 1}
    ) == Answer("a", SAMPLE)


def test_a_response_is_ranked_by_tokens_by_its_own_words_or_by_a_scorer() -> None:
    row = scored(
        "a", 0, 1.0, num_tokens=4, scores={LOGPROB: -2.0, "rm": 7.0}, response="Confidence: 80%"
    )
    assert row.likelihood == row.score(LOGPROB) == math.exp(-0.5)
    assert row.score(CONFIDENCE) == pytest.approx(0.8) and row.score("rm") == 7.0
    assert row.score("other") is None and row.score(None) is None
    assert scored("a", 0, 1.0, scores={LOGPROB: -2.0}).likelihood is None
    assert scored("a", 0, 1.0, num_tokens=4).likelihood is None


def test_results_are_read_back_as_they_were() -> None:
    found = results()
    assert Results.from_json(json.loads(json.dumps(found.to_json()))) == found
    assert [(one.before, one.after, one.bench) for one in found.comparisons] == [
        ("base", "ppo", "sums")
    ]


def remove_comparisons(data: dict[str, Any]) -> None:
    del data["comparisons"]


def text_for_k(data: dict[str, Any]) -> None:
    data["models"]["base"]["benches"]["sums"]["sample"]["k"] = "many"


def a_list_for_the_models(data: dict[str, Any]) -> None:
    data["models"] = []


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (remove_comparisons, "^comparisons is missing$"),
        (text_for_k, "^Metrics: k: Input should be a valid integer"),
        (a_list_for_the_models, "'list' object has no attribute 'items'"),
    ],
)
def test_damaged_results_are_refused_with_the_place(
    damage: Callable[[dict[str, Any]], None], words: str
) -> None:
    data = copy.deepcopy(results().to_json())
    damage(data)
    with pytest.raises(ValueError, match=words):
        Results.from_json(data)


def test_the_score_card_is_of_the_sampled_responses_and_of_one_model_only() -> None:
    assert score_cards(results(models=2)) == {}
    card = score_cards(results(models=1))["sums"]
    data = card.to_json()
    assert card.decoding == data["decoding"] == "sample" and data["samples"] == 6
    assert card.avg and data["avg"] == card.avg.value == 0.5
    assert data["pass_at"] == {"1": 0.5, "2": pytest.approx(2 / 3)}
    assert data["contaminated"]["traces"]["rows_found"] == 1
    assert json.loads(json.dumps(data)) == data


def test_the_card_of_single_responses_has_pass_1_and_maj_1_without_an_interval() -> None:
    model = ModelResult("m", {"sums": BenchResult(made(3), greedy=GREEDY)})
    data = score_cards(Results(models={"m": model}, verifier={"use": "v"}))["sums"].to_json()
    assert data["decoding"] == "greedy" and data["avg"] == pytest.approx(2 / 3)
    assert data["pass_at"] == data["maj_at"] == {"1": data["avg"]} and data["pass_ci"] == {}
