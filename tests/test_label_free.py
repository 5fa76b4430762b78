"""`answer: none`: problems without reference answers, for rewards that need none."""

from pathlib import Path

import pytest

from rlsp_cli.backends import stages_of
from rlsp_cli.data import audit_cases, prompt_rows
from rlsp_cli.errors import DataError, RecipeError
from rlsp_cli.preflight import inspect_recipe, read_recipe
from rlsp_cli.recipe.rows import Prompts
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.rewards.combine import alpha_of
from rlsp_cli.rewards.registry import built_in, get_plugin
from rlsp_cli.rewards.sample import Sample
from rlsp_cli.rewards.scorer import Scorer
from rlsp_cli.runs.stream import append_rows


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "p.jsonl"
    append_rows(path, [{"problem": f"What is {n} + {n}?", "level": n} for n in range(4)])
    return path


def recipe(source: Path, *more: str) -> tuple[Recipe, Path]:
    given = f"data.prompts={{source: {source}, answer: none}}"
    return read_recipe("quickstart", ["eval=null", "sft=null", given, *more])


AGREEMENT = ("reward.alpha=0", "reward.exploration={use: majority_agreement}")


def check(recipe: tuple[Recipe, Path]) -> list[str]:
    found, path = recipe
    return inspect_recipe(found, path, stages_of(found))


def test_problems_have_no_answer_and_keep_their_other_columns(source: Path) -> None:
    found = list(prompt_rows(Prompts(source=str(source), answer="none")))
    assert [problem.answer for problem in found] == [None] * 4
    assert found[2].metadata == {"level": 2}


def test_without_answers_a_row_still_needs_a_problem(tmp_path: Path) -> None:
    append_rows(tmp_path / "q.jsonl", [{"question": "?"}])
    with pytest.raises(DataError, match=r"no column 'problem'"):
        list(prompt_rows(Prompts(source=str(tmp_path / "q.jsonl"), answer="none")))


@pytest.mark.integration
def test_agreement_alone_needs_no_answers_and_is_what_is_rewarded(source: Path) -> None:
    loaded = recipe(source, "ppo.samples_per_prompt=4", *AGREEMENT)
    notes = check(loaded)
    assert not [note for note in notes if "reference" in note]

    found, _ = loaded
    responses = [r"\boxed{4}", r"\boxed{4}", r"\boxed{5}", "no idea"]
    samples = [Sample("2 + 2?", text, None, "0") for text in responses]
    with Scorer(found.reward, found.plugins) as scorer:
        scores = scorer.score(samples, alpha_of(found, 0))
    assert [score.reward for score in scores] == [0.5, 0.5, 0.25, 0.25]


@pytest.mark.integration
@pytest.mark.parametrize(
    ("more", "words"),
    [
        (
            (),
            r"exact_match needs reference answers, and data\.prompts has none .*"
            r"set reward\.alpha: 0 beside a reward that needs none",
        ),
        (("reward.alpha=0.5", AGREEMENT[1]), "exact_match needs reference answers"),
        (
            ("reward.combine=gated_correct", *AGREEMENT),
            "exact_match needs reference answers",
        ),
        (
            ("reward.alpha={start: 0, end: 0.2}", AGREEMENT[1]),
            "exact_match needs reference answers",
        ),
        (
            (*AGREEMENT, "reward.correctness={use: numeric}"),
            r"numeric abstains without a reference answer .* math_verify",
        ),
    ],
)
def test_a_verdict_that_counts_needs_answers(
    source: Path, more: tuple[str, ...], words: str
) -> None:
    with pytest.raises(RecipeError, match=words):
        check(recipe(source, "reward.correctness={use: exact_match}", *more))


def test_a_reward_that_reads_the_reference_is_refused_by_its_place(
    source: Path, tmp_path: Path
) -> None:
    file = tmp_path / "near.py"
    file.write_text(
        "from rlsp_cli.rewards import Sample, exploration_reward\n"
        "@exploration_reward\n"
        "def near(sample: Sample) -> float:\n"
        '    """How near it is."""\n'
        "    return float((sample.reference or '') in sample.response)\n",
        encoding="utf-8",
    )
    with pytest.raises(RecipeError, match=r"near\.py:near needs reference answers"):
        check(recipe(source, "reward.alpha=0", f"reward.exploration={{use: '{file}:near'}}"))


def test_held_out_problems_without_answers_need_a_verifier_that_reads_none(source: Path) -> None:
    heldout = f"data.heldout={{source: {source}, answer: none}}"
    with pytest.raises(RecipeError, match=r"exact_match needs reference .* data\.heldout has none"):
        check(read_recipe("quickstart", [heldout]))


def test_verifiers_that_judge_by_other_columns_need_no_reference() -> None:
    without = [
        name for name in built_in("verifier") if not get_plugin("verifier", name).needs_reference
    ]
    by_columns = ["ifeval", "instruction_constraints", "reasoning_gym"]
    assert without == ["environment", "game_result", *by_columns, "tool_judge"]


def test_an_audit_of_problems_without_answers_says_that_it_needs_some(source: Path) -> None:
    found, _ = recipe(source, *AGREEMENT)
    with pytest.raises(DataError, match=r"an attack needs the reference answer.* have none"):
        audit_cases(found, 2)
