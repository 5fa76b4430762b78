"""Step scorers as their authors meet them: `plugins check`, `plugins new`, `reward try`, and hints."""

import json
from pathlib import Path

import pytest

from rlsp_cli.cli.scoring_recipe import scoring_recipe
from rlsp_cli.data import read_stepped
from rlsp_cli.errors import DataError, RecipeError
from rlsp_cli.recipe.load import resolve_recipe
from rlsp_cli.recipe.plugin_use import ExplorationUse
from rlsp_cli.recipe.reward import Reward
from rlsp_cli.recipe.steps import Steps
from rlsp_cli.rewards.conformance import Check, check_plugin
from rlsp_cli.rewards.registry import get_plugin, resolve_options
from rlsp_cli.rewards.step_scoring import StepScorer
from tests.conftest import rlsp
from tests.step_scorer_file import SUMS

FILE = (
    SUMS
    + '''

@step_scorer
def share(sample: Sample, steps: Sequence[str]) -> list[float | None]:
    """Depends on how many steps there are."""
    return [1 / len(steps)] * len(steps)


@step_scorer
def last_word(sample: Sample, steps: Sequence[str]) -> list[float | None]:
    """Looks at the end of the response."""
    return [float(sample.response.endswith("{5}"))] * len(steps)


@step_scorer
def short(sample: Sample, steps: Sequence[str]) -> list[float | None]:
    """Too few scores."""
    return [1.0]


@step_scorer
def nan(sample: Sample, steps: Sequence[str]) -> list[float | None]:
    """No number."""
    return [float("nan")] * len(steps)


@step_scorer
def fair(sample: Sample, steps: Sequence[str]) -> list[float | None]:
    """A score from the steps up to this one."""
    return [min(len(" ".join(steps[: k + 1])) / 100, 1.0) for k in range(len(steps))]
'''
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "steps.py"
    path.write_text(FILE)
    return path


def checks(file: Path, name: str) -> dict[str, Check]:
    plugin = get_plugin("step_scorer", f"{file}:{name}")
    return {check.name: check for check in check_plugin(plugin)}


@pytest.mark.integration
@pytest.mark.parametrize(
    ("name", "fails", "words"),
    [
        ("fair", None, ""),
        ("share", "a step's score depends on no later step", "0.333333 and then 0.5"),
        ("last_word", "a step's score depends on no later step", "was 1 and then 0"),
        ("short", "finite, and no exception", "returned 1 scores for"),
        ("nan", "finite, and no exception", "returned nan for a step"),
    ],
)
def test_check_tells_what_is_wrong(file: Path, name: str, fails: str | None, words: str) -> None:
    found = checks(file, name)
    failed = [check for check in found.values() if not check.passed]
    if fails is None:
        assert not failed
    else:
        assert fails in [check.name for check in failed] and words in found[fails].detail


def test_steps_may_be_given(file: Path, tmp_path: Path) -> None:
    rows = tmp_path / "s.jsonl"
    rows.write_text('{"id": 1, "steps": ["1+1=2", "2+2\\n=5"]}\n{"response": "1+1=2\\n2+2\\n=5"}\n')
    given, split = read_stepped(rows)
    assert given.steps == ("1+1=2", "2+2\n=5") and given.sample.response == split.sample.response

    use = ExplorationUse(use=f"{file}:fair", steps=Steps(aggregate="sum"))
    with StepScorer(use, Reward(workers=1)) as scorer:
        one, other = scorer.score_and_check([given, split])
        assert scorer.texts(given) == ["1+1=2", "2+2\n=5"]
        assert scorer.texts(split) == ["1+1=2", "2+2", "=5"]
    assert one.value == pytest.approx(0.05 + 0.12)
    assert len(one.steps or ()) == 2 and len(other.steps or ()) == 3


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ('{"steps": "a"}', "steps holds 'a', expected a list of texts"),
        ('{"steps": [1]}', "expected a list of texts"),
        ('{"text": "a"}', "no key 'response' and no 'steps'; its keys: text"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, row: str, words: str) -> None:
    path = tmp_path / "s.jsonl"
    path.write_text(f'{{"steps": ["a"]}}\n{row}\n')
    with pytest.raises(DataError, match=r"s\.jsonl:2: ") as error:
        read_stepped(path)
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("use", "words"),
    [
        ({"use": "sums"}, "'sums' is a step scorer, expected an exploration reward - add steps"),
        ({"use": "length", "steps": {}}, "expected a step scorer - take its steps out"),
        ({"use": "summs", "steps": {}}, "unknown step scorer 'summs'"),
    ],
)
def test_the_other_kind_is_named(file: Path, use: dict[str, object], words: str) -> None:
    data = {"name": "x", "plugins": [str(file)], "reward": {"exploration": use}}
    with pytest.raises(RecipeError) as error:
        resolve_recipe(data, plugins=resolve_options)
    assert words in str(error.value)


@pytest.mark.integration
def test_try_has_the_documented_keys_and_an_outcome_for_each_row(
    file: Path, tmp_path: Path
) -> None:
    rows = [
        {"id": "a", "prompt": "p", "response": "1+1=2\n2+2=5"},
        {"id": "b", "prompt": "p", "steps": ["1+1=2", "so", "2+1=3"]},
        {"id": "c", "response": "no sum"},
        {"id": "d", "response": "(=3"},
    ]
    path = tmp_path / "s.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked = ("reward", "try", "--step-scorer", f"{file}:sums", "--samples", path)
    done = rlsp(*asked, "wrong=0.5", "steps.aggregate=product", "--json")

    found = json.loads(done.stdout)
    assert found["schema"] == "rlsp.reward-try/1"
    first, second, third, fourth = found["data"]
    steps = {"steps": ["1+1=2", "2+2=5"], "scores": [1.0, 0.5], "aggregate": 0.5}
    assert first == {"id": "a", "outcome": "value", **steps}
    assert second["scores"] == [1.0, None, 1.0] and second["aggregate"] == 1.0
    assert third["outcome"] == "abstain" and third["scores"] == [None]
    assert fourth == {
        "id": "d",
        "outcome": "error",
        "steps": ["(=3"],
        "scores": [None],
        "aggregate": None,
    }
    assert "1 of 4 responses: error: SyntaxError" in done.stderr

    # A score that a later step changes is none.
    asked = ("reward", "try", "--step-scorer", f"{file}:share", "--samples", path)
    found = json.loads(rlsp(*asked, "--json").stdout)
    assert [row["outcome"] for row in found["data"]] == ["error", "error", "value", "value"]


def test_options_of_models_override_those_of_the_recipe(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text("name: r\nmodels: {prm: {path: ./a}, other: {path: ./b}}\n")

    found = scoring_recipe("prm", str(path), ["models.prm.serve=vllm", "model=prm"])
    assert found.models["prm"].serve == "vllm" and str(found.models["prm"].path).endswith("a")
    assert found.models["other"].serve == "embedded"
    assert found.reward.exploration[0].options["model"] == "prm"
    with pytest.raises(RecipeError, match=r"models\.prm\.serve"):
        scoring_recipe("prm", str(path), ["models.prm.serve=foo"])

    alone = scoring_recipe("prm", None, ["models.prm.path=./a"])
    assert [*alone.models] == ["prm"]
