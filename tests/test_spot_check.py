"""Scorers that look ahead are caught wherever they are asked, at a small share of the cost."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rlsp_cli.evals.scorer_benches import (
    Labelled,
    find_scorer_bench,
    measure_scorer,
    score_responses,
)
from rlsp_cli.recipe.load import resolve_recipe
from rlsp_cli.recipe.plugin_use import ScorerUse
from rlsp_cli.rewards.models import Address, know_models
from rlsp_cli.rewards.plugin_file import load_file
from rlsp_cli.rewards.registry import resolve_options
from rlsp_cli.rewards.sample import Sample
from rlsp_cli.rewards.scorer import Scorer
from rlsp_cli.rewards.spot_check import ONE_IN
from rlsp_cli.rewards.worker import run_plugin
from tests.openai_server import Reply, Server, chat, serving

FILE = '''
import random
from collections.abc import Sequence

from rlsp_cli.rewards import ModelName, Sample, served_model, step_scorer

asked = []
noise = random.Random(0)


@step_scorer
def ahead(sample: Sample, steps: Sequence[str]) -> list[float | None]:
    """Depends on how many steps there are."""
    return [1 / len(steps)] * len(steps)


@step_scorer
def whole(sample: Sample, steps: Sequence[str]) -> list[float | None]:
    """Looks at the end of the response."""
    return [float(sample.response.endswith("done"))] * len(steps)


@step_scorer
def fair(sample: Sample, steps: Sequence[str]) -> list[float | None]:
    """Depends on the steps so far."""
    asked.append(len(steps))
    return [1 / (number + 1) for number in range(len(steps))]


@step_scorer
def noisy(sample: Sample, steps: Sequence[str]) -> list[float | None]:
    """One of two scores each time, whatever follows."""
    return [float(noise.randrange(2)) for _ in steps]


@step_scorer
def asks(sample: Sample, steps: Sequence[str], *, model: ModelName = "judge") -> list[float | None]:
    """A model is shown all steps at once."""
    reply = served_model(model).chat([{"role": "user", "content": " ".join(steps)}])
    return [float(reply)] * len(steps)
'''
SAMPLES = [Sample("Count.", f"{number}\nstep\nstep\ndone", id=str(number)) for number in range(300)]


@pytest.fixture
def file(tmp_path: Path) -> str:
    (tmp_path / "scorers.py").write_text(FILE)
    return str(tmp_path / "scorers.py")


def outcomes(
    file: str, name: str, most: int = len(SAMPLES), **options: Any
) -> list[dict[str, Any]]:
    """How the first samples end in one worker, in order."""
    plain = {"options": options, "files": [], "takes_group": False, "steps": None}
    use = {"kind": "step_scorer", "reference": f"{file}:{name}", **plain}
    return [run_plugin(use, [sample])[0]["outcomes"][0] for sample in SAMPLES[:most]]


@pytest.mark.parametrize("name", ["ahead", "whole"])
def test_from_the_first_response_that_gives_it_away_all_are_errors(file: str, name: str) -> None:
    found = [one["outcome"] for one in outcomes(file, name)]
    first = found.index("error")
    assert found == ["value"] * first + ["error"] * (len(found) - first)
    assert first < 3 * ONE_IN

    (reason,) = {one["reason"] for one in outcomes(file, "whole") if one["outcome"] == "error"}
    assert reason == "the score of step 0 was 1 and then 0 when later steps were changed"


def test_a_fair_scorer_pays_for_one_response_in_32_and_noise_is_no_look_ahead(file: str) -> None:
    assert {one["outcome"] for one in outcomes(file, "fair")} == {"value"}
    lengths = load_file(Path(file)).asked
    again = [length for length in lengths if length < 4]
    assert len(lengths) == len(SAMPLES) + len(again) and set(again) == {1, 2, 3}
    assert 0.3 / ONE_IN < len(again) / len(SAMPLES) < 2 / ONE_IN

    assert {one["outcome"] for one in outcomes(file, "noisy")} == {"value"}


@pytest.fixture
def judge() -> Iterator[Server]:
    def answer(body: dict[str, Any]) -> Reply:
        content = body["messages"][0]["content"]
        return chat("1" if content.endswith("done") else "0")

    with serving(answer) as server:
        know_models({"judge": Address(server.url, "m")})
        yield server
    know_models({})


@pytest.mark.integration
def test_a_model_that_reads_all_steps_is_caught_and_the_check_is_counted(
    file: str, judge: Server
) -> None:
    found = outcomes(file, "asks", 2 * ONE_IN, model="judge")
    tokens = [one["tokens"] for one in found]
    # Five more questions of one token each: three of the first steps, and two of all of them.
    assert {one["tokens"] for one in found if one["outcome"] == "error"} == {6}
    assert sum(tokens) == len(judge.asked)


@pytest.mark.integration
def test_training_and_benches_count_it_as_an_error_and_never_as_a_score(
    file: str, tmp_path: Path
) -> None:
    plain = {"exploration": {"use": f"{file}:ahead", "steps": {}}, "workers": 1}
    recipe = resolve_recipe({"name": "a", "reward": plain}, plugins=resolve_options)
    samples = SAMPLES[: 3 * ONE_IN]
    with Scorer(recipe.reward) as scorer:
        scores = scorer.score(samples, 0.5)
    failed = [score for score in scores if score.exploration[0].failed]
    assert failed and all(score.reward is None for score in failed)

    scorer_use = ScorerUse.model_validate({"use": f"{file}:ahead", "steps": {}})
    rows = [Labelled(one.id, "gsm8k", one, None, -1, True) for one in samples]
    found = score_responses(scorer_use, rows, tmp_path, recipe, {})
    result = measure_scorer(find_scorer_bench("processbench"), scorer_use, {}, rows, found, 0.5)
    # Two processes were asked, one of them a spare, and each has to find it out.
    assert set(result.failures) == {"error"}
    assert result.subsets["gsm8k"].unscored == result.failures["error"] > 0
