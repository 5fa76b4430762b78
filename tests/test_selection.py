"""A selector on groups of responses: what it drops, and how a wrong one is refused."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from rlsp_cli.errors import PluginError
from rlsp_cli.recipe.reward import Reward
from rlsp_cli.recipe.selector_use import SelectorUse
from rlsp_cli.rewards import Sample
from rlsp_cli.rewards.plain import rollout_row
from rlsp_cli.rewards.sample import SampleScore, Score
from rlsp_cli.rewards.selection import Choice, Selector, grouped
from rlsp_cli.runs.stream import append_rows
from tests.conftest import rlsp

LIMITS = Reward(workers=1, memory_gb=4.0)


def group(id: str, correct: Sequence[float | None], step: int = 0) -> list[Sample]:
    return [
        Sample(prompt=f"{id}?", response="", id=id, step=step, correct=score, metadata={"level": 3})
        for score in correct
    ]


def test_a_choice_says_what_it_saw() -> None:
    half = Choice(group("a", [1.0, 0.0, 1.0, 0.0]), [True, False, True, False])
    assert half.numbers == {
        "responses": 4, "kept": 2, "scored": 4, "right": 2, "mean": 0.5, "std": 0.5,
    }  # fmt: skip
    assert not half.drops_prompt
    assert half.reason == "2 of 4 responses right, mean correctness 0.5, std 0.5"

    nothing = Choice(group("a", [None, None]), [False, False])
    assert nothing.drops_prompt and nothing.reason == "none of 2 responses scored"


def test_groups_are_the_responses_to_one_prompt_in_one_step() -> None:
    a, b, again = group("a", [1.0, 0.0]), group("b", [1.0]), group("a", [0.0], step=1)
    mixed = [a[0], b[0], again[0], a[1]]
    assert grouped(mixed) == [a, b, again]


@pytest.mark.integration
def test_a_selector_chooses_in_worker_processes() -> None:
    with Selector(
        SelectorUse.model_validate({"use": "pass_rate", "lo": 0.5, "hi": 1.0}), LIMITS
    ) as selector:
        choices = selector.choose([group("a", [1.0, 0.0]), group("b", [0.0, 0.0])])
    assert [list(choice.kept) for choice in choices] == [[True, True], [False, False]]


@pytest.mark.integration
@pytest.mark.parametrize(
    ("returned", "words"),
    [
        ("[True]", "selector mine, prompt 'a': ValueError: returned 1 items, expected a list of 2"),
        ("[sample.metadata['levle'] > 2 for sample in group]", "the columns of its row: level"),
        ("[random.random() < 0.5 for _ in range(2)]", "; seed its random numbers from the prompt"),
    ],
)
def test_a_wrong_selector_is_refused_in_one_line(tmp_path: Path, returned: str, words: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "import random\nfrom collections.abc import Sequence\n"
        "from rlsp_cli.rewards import Sample, selector\n"
        f"@selector\ndef mine(group: Sequence[Sample]) -> list[bool]:\n    return {returned}\n"
    )
    # Eight prompts, so that chance repeats itself once in 2**16 runs.
    with (
        Selector(SelectorUse(use=f"{path}:mine"), LIMITS) as selector,
        pytest.raises(PluginError) as caught,
    ):
        selector.choose([group("a", [1.0, 0.0])] * 8)
    assert words in str(caught.value) and "\n" not in str(caught.value)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with two steps: one prompt half right, one all wrong, one all right."""
    folder = tmp_path / "run"
    (folder / "ppo").mkdir(parents=True)
    (folder / "resolved.yaml").write_text("schema_version: 1\nname: saved\n")

    samples = group("a", [1.0, 0.0]) + group("b", [0.0, 0.0]) + group("a", [1.0, 1.0], step=1)
    rows = []
    for sample in samples:
        score = Score("exact_match", "value", sample.correct, "4")
        rows.append(rollout_row(sample.step or 0, sample, SampleScore(score, (), sample.correct)))
    append_rows(folder / "ppo" / "rollouts.jsonl", rows)
    return folder


@pytest.mark.integration
def test_select_shows_what_a_selector_would_have_dropped(run: Path) -> None:
    found = json.loads(rlsp("reward", "select", run, "--selector", "pass_rate", "--json").stdout)
    assert found == {
        "schema": "rlsp.reward-select/1",
        "data": {
            "groups": 3,
            "kept": 1,
            "dropped": 2,
            "dropped_ids": [
                {"id": "b", "step": 0, "reason": "0 of 2 responses right, mean correctness 0, std 0"},
                {"id": "a", "step": 1, "reason": "2 of 2 responses right, mean correctness 1, std 0"},
            ],
        },
    }  # fmt: skip


@pytest.mark.integration
def test_select_takes_options_and_refuses_wrong_ones(run: Path) -> None:
    done = rlsp("reward", "select", run, "--selector", "pass_rate", "lo=0", "hi=0.5")
    assert "responses kept: 4 of 6" in done.stdout and "Dropped prompts" in done.stdout
    for arguments, words in [
        (("pass_rat",), "unknown selector 'pass_rat' - did you mean \"pass_rate\"?"),
        (("pass_rate", "low=0"), 'unknown option "low" of pass_rate - did you mean "lo"?'),
    ]:
        done = rlsp("reward", "select", run, "--selector", *arguments, check=False)
        assert done.returncode == 3 and words in done.stderr and "Traceback" not in done.stderr


@pytest.mark.integration
def test_check_tries_the_selector_on_the_first_row(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "from collections.abc import Sequence\nfrom rlsp_cli.rewards import Sample, selector\n\n"
        "@selector\ndef mine(group: Sequence[Sample]) -> list[bool]:\n"
        "    return [sample.metadata['level'] > 2 for sample in group]\n"
    )
    done = rlsp("check", "quickstart", f"ppo.select={{use: {path}:mine}}", check=False)
    assert done.returncode == 3 and "Traceback" not in done.stderr
    assert "ppo.select" in done.stderr and "KeyError: 'level' (mine.py:6)" in done.stderr

    # Each of quickstart's prompts has one response, which cannot differ from itself.
    done = rlsp("check", "quickstart", "ppo.select={use: zero_variance}")
    assert "note: " in done.stdout + done.stderr
    assert "drops the first prompt, however many of its empty responses (1) are right" in (
        done.stdout + done.stderr
    )

    # At the end of this schedule only a rate between 0 and 1 is kept.
    ends = "{use: pass_rate, lo: {start: 0, end: 0.4}, hi: {start: 1, end: 0.6}}"
    done = rlsp("check", "quickstart", f"ppo.select={ends}")
    assert "pass_rate drops the first prompt" in done.stdout + done.stderr
