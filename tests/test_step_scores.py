"""Step scorers: how responses are split, what becomes of the scores, and what a bad scorer costs."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from rlsp_cli.errors import PluginError
from rlsp_cli.recipe.load import resolve_recipe
from rlsp_cli.recipe.steps import Refinement, Steps
from rlsp_cli.rewards.plugin_file import load_file
from rlsp_cli.rewards.registry import resolve_options
from rlsp_cli.rewards.sample import Sample, Score
from rlsp_cli.rewards.scorer import Scorer
from rlsp_cli.rewards.steps import aggregate, refined, score_steps, split_steps
from tests.step_scorer_file import SUMS

FILE = (
    SUMS
    + '''

@step_scorer
def bad(sample: Sample, steps: Sequence[str], *, how: str = "short") -> list[float | None]:
    """A scorer that gives what is no score."""
    given = {"short": [], "nan": [float("nan")], "large": [1.5], "none": [None], "raises": 1 / 1}
    if how == "raises":
        raise RuntimeError("gone")
    return given[how] if how == "short" else given[how] * len(steps)
'''
)


@pytest.fixture
def plugin_file(tmp_path: Path) -> str:
    path = tmp_path / "steps.py"
    path.write_text(FILE)
    return str(path)


@pytest.mark.parametrize(
    ("by", "response", "steps"),
    [
        ("lines", "a = 1\n\n  b  \n---\n", ["a = 1", "b"]),
        ("blank_line", "a\nb\n\nc\n \nd", ["a\nb", "c", "d"]),
        (
            "numbered",
            "First:\n1. a\n2) b\nmore\nStep 3: c",
            ["First:\n1. a", "2) b\nmore", "Step 3: c"],
        ),
        ("numbered", "1.5 is a number", ["1.5 is a number"]),
        ("tag", "x <step>a</step> y <step>b\nc</step><step>cut", ["a", "b\nc", "cut"]),
        ("sentences", "One. Two! Is it 3.5? Yes; so", ["One.", "Two!", "Is it 3.5?", "Yes", "so"]),
        ("lines", "", []),
    ],
)
def test_a_response_is_split_into_spans_of_it(by: str, response: str, steps: list[str]) -> None:
    found = split_steps(response, by)
    assert [step.text for step in found] == steps
    assert [response[step.start : step.end] for step in found] == steps


@pytest.mark.parametrize(
    ("how", "value"),
    [
        ("min", 0.2),
        ("product", 0.5 * 0.2 * 0.8),
        ("last", 0.8),
        ("mean", 0.5),
        ("sum", 1.5),
        ("max", 0.8),
        ("geometric_mean", 0.08 ** (1 / 3)),
    ],
)
def test_scores_become_one_number(how: str, value: float) -> None:
    assert aggregate([0.5, None, 0.2, 0.8], how) == pytest.approx(value)
    assert aggregate([None], how) is None


def test_refinements_by_hand() -> None:
    def score(steps: Sequence[str]) -> list[float | None]:
        return [len(step) / 10 for step in steps]

    steps = ["abcd", "ab", "abcdef"]

    def by(*refinements: Refinement) -> list[float | None]:
        return refined(score, refinements)(steps)

    assert by(Refinement(clip=0.5)) == pytest.approx([-0.1, -0.3, 0.0])
    assert by(Refinement(delta=True)) == pytest.approx([0.2, -0.4, 0.6])
    assert by(Refinement(clip=0.5), Refinement(delta=True)) == pytest.approx([0.2, -0.3, 0.0])

    # The windows of two are "abcd\\nab" and "ab\\nabcdef": 0.7 and 0.9.
    pairs = by(Refinement(span=(1, 2)))
    assert pairs == pytest.approx([0.4, (0.2 + 0.7) / 2, (0.6 + 0.9) / 2])


def test_differences_pass_over_steps_without_a_score() -> None:
    found = refined(lambda _: [0.5, None, 0.7], [Refinement(delta=True)])(["a", "b", "c"])
    assert found == pytest.approx([-0.2, None, 0.7])

    # Each round of right, wrong and unscored would earn 0.9 if the unscored step were a gap.
    rounds = refined(lambda _: [1.0, 0.1, None] * 20, [Refinement(delta=True)])(["x"] * 60)
    assert sum(score for score in rounds if score is not None) == pytest.approx(1.0)


def test_math_only_leaves_formulas() -> None:
    seen: list[str] = []

    def score(steps: Sequence[str]) -> list[float | None]:
        seen.extend(steps)
        return [1.0] * len(steps)

    refined(score, [Refinement(math_only=True)])(["So we add 3 + x = 5 now", "no formula"])
    assert seen == ["3 + x = 5", "no formula"]


def test_the_sum_of_differences_does_not_grow_with_repetition() -> None:
    settings = Steps(refine=(Refinement(delta=True),), aggregate="sum")
    for count in (1, 5, 50):
        found = score_steps(lambda steps: [0.9] * len(steps), "good\n" * count, settings)
        assert found.value == pytest.approx(0.9)


def test_a_step_scorer_is_an_exploration_reward_with_its_steps(plugin_file: str) -> None:
    use = {"use": f"{plugin_file}:sums", "wrong": 0.5, "steps": {"aggregate": "product"}}
    reward = {"alpha": 0.5, "correctness": {"use": "exact_match"}, "exploration": use}
    recipe = resolve_recipe({"name": "x", "reward": reward}, plugins=resolve_options)
    assert recipe.reward.exploration[0].options == {"wrong": 0.5}

    samples = [
        Sample("", "1 + 1 = 2\nand\n2 + 2 = 5\n\\boxed{5}", "5", id="a"),
        Sample("", "no sums", "5", id="b"),
        Sample("", "", "5", id="c"),
    ]
    with Scorer(recipe.reward) as scorer:
        first, unscored, empty = scorer.score(samples, 0.5)

    (part,) = first.exploration
    assert part.value == 0.5 and first.reward == pytest.approx(0.75)
    assert [step.score for step in part.steps or ()] == [1.0, None, 0.5, None]
    start, end = (part.steps or ())[2][:2]
    assert samples[0].response[start:end] == "2 + 2 = 5"
    assert Score.from_row(json.loads(json.dumps(part.to_row()))) == part

    for other, reason in ((unscored, "no step was scored"), (empty, "the response has no steps")):
        assert other.exploration[0].outcome == "abstain"
        assert other.exploration[0].reason == reason
        assert other.reward is None


@pytest.mark.parametrize(
    ("how", "outcome", "words"),
    [
        ("short", "error", "returned 0 scores for 2 steps"),
        ("nan", "error", "returned nan for a step, expected 0 to 1, or None"),
        ("large", "error", "returned 1.5 for a step"),
        ("raises", "error", "RuntimeError: gone"),
        ("none", "abstain", "no step was scored"),
    ],
)
def test_a_bad_scorer_costs_the_sample_and_is_never_0(
    plugin_file: str, how: str, outcome: str, words: str
) -> None:
    use = {"use": f"{plugin_file}:bad", "how": how, "steps": {}}
    reward = {"correctness": {"use": "exact_match"}, "exploration": use}
    recipe = resolve_recipe({"name": "x", "reward": reward}, plugins=resolve_options)
    with Scorer(recipe.reward) as scorer:
        (found,) = scorer.score([Sample("", "a\nb", "5")], 0.5)
    (part,) = found.exploration
    assert (part.outcome, part.value, found.reward) == (outcome, None, None)
    assert words in str(part.reason)


def test_a_step_scorer_without_steps_in_its_signature_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "wrong.py"
    head = "from rlsp_cli.rewards import Sample, step_scorer\n\n@step_scorer\n"
    path.write_text(head + "def wrong(sample: Sample) -> list[float | None]:\n    return []\n")
    with pytest.raises(PluginError, match="expected \\(Sample, Sequence\\[str\\], \\*, options\\)"):
        load_file(path)
