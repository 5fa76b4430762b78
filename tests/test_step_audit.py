"""`rlsp reward audit` on step scorers: a sum of steps pays for repetition, and its differences do not."""

from pathlib import Path

import pytest

from rlsp_cli.recipe.load import resolve_recipe
from rlsp_cli.rewards.audit import STEP_ATTACKS, Case, audit
from rlsp_cli.rewards.registry import resolve_options
from rlsp_cli.rewards.sample import Sample
from rlsp_cli.rewards.scorer import Scorer

FILE = '''
from collections.abc import Sequence

from rlsp_cli.rewards import Sample, step_scorer


@step_scorer
def kind(sample: Sample, steps: Sequence[str]) -> list[float | None]:
    """Every step is good."""
    return [0.9] * len(steps)
'''


@pytest.mark.parametrize(
    ("refine", "grave"),
    [([], {"repeated steps", "split steps"}), (["clip", "delta"], set())],
)
def test_steps_are_farmed_unless_their_sum_is_bounded(
    tmp_path: Path, refine: list[str], grave: set[str]
) -> None:
    (tmp_path / "kind.py").write_text(FILE)
    steps = {"by": "blank_line", "aggregate": "sum", "refine": refine}
    use = {"use": f"{tmp_path / 'kind.py'}:kind", "steps": steps}
    reward = {"correctness": {"use": "exact_match"}, "exploration": use}
    recipe = resolve_recipe({"name": "x", "reward": reward}, plugins=resolve_options)
    cases = [Case("3 + 4 = ?", "7", "8", Sample("3 + 4 = ?", "", "7"))]

    with Scorer(recipe.reward) as scorer:
        found = audit(cases, lambda samples: scorer.score(samples, 0.5), 60, by_steps=True)
    of_steps = {one.attack: one for one in found if one.attack in STEP_ATTACKS}
    assert of_steps.keys() == STEP_ATTACKS.keys()
    beats_right = {name for name, one in of_steps.items() if one.beats_right}
    assert beats_right >= grave if grave else not beats_right
