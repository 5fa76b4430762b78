"""`ppo.hints`: problems that no response solves are answered again with a hint, and learned from without it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from rlsp_cli.engine.batch import rows_from
from rlsp_cli.engine.ppo import PpoTrainer
from rlsp_cli.errors import DataError
from rlsp_cli.rewards.sample import Sample, SampleScore
from tests.conftest import refusal
from tests.test_ppo import PROBLEMS, by_hand, make_trainer, of_responses, scored, targets_at

pytestmark = pytest.mark.usefixtures("one_thread")

HINT = "l k"
HINTED = [replace(problem, metadata={"hint": HINT}) for problem in PROBLEMS]
FIRST, SECOND = rows_from(0, 4, 2, seed=0)
"""The rows of the first step's problems."""


class Hinting:
    """A scorer that finds right what has a hint in its prompt, and responses to one problem in turn right and wrong."""

    def __init__(self, solved: int) -> None:
        self.solved = str(solved)

    def score(self, samples: Sequence[Sample], alpha: float) -> list[SampleScore]:
        return [
            scored(float(HINT in sample.prompt or (sample.id == self.solved and row % 2 == 0)))
            for row, sample in enumerate(samples)
        ]


def hinting(folder: Path, solved: int = SECOND, **changes: Any) -> PpoTrainer:
    options = {"hints": {"template": "{problem} {hint}"}, "estimator": "rloo", "kl_coef": 0}
    pairs = {"samples_per_prompt": 2, "rollout_batch": 2, "problems": HINTED}
    trainer = make_trainer(folder, **{**options, **pairs, **changes})
    scorer: Any = Hinting(solved)
    trainer.gatherer.scorer = scorer
    return trainer


def test_an_unsolved_problem_is_answered_again_with_its_hint(tmp_path: Path) -> None:
    rollout, metrics = hinting(tmp_path).step(0)

    shown = [sample.prompt for sample in rollout.samples]
    assert shown == [f"{PROBLEMS[FIRST].problem} {HINT}"] * 2 + [PROBLEMS[SECOND].problem] * 2
    assert [score.reward for score in rollout.scores] == [1.0, 1.0, 1.0, 0.0]
    assert metrics["hinted"] == 2 and metrics["hinted_correctness"] == 1.0

    # What the policy can do is what it does without hints; all that was sampled is counted.
    assert metrics["correctness/mean"] == 0.25
    assert metrics["tokens"] > sum(sample.num_tokens or 0 for sample in rollout.samples)


def test_it_is_learned_from_without_the_hint(tmp_path: Path) -> None:
    trainer = hinting(tmp_path, rollout_correction="tis")
    rollout = trainer._rollout(trainer.gatherer.gather(0, 0.8))
    targets, metrics = targets_at(trainer, rollout)
    assert targets.old_logp is not None and targets.weights is not None

    plain = trainer.context.tokenizer(PROBLEMS[FIRST].problem)["input_ids"]
    hinted = trainer.context.tokenizer(f"{PROBLEMS[FIRST].problem} {HINT}")["input_ids"]
    assert rollout.tokens[0, : len(plain)].tolist() == plain

    length = int(rollout.lengths[0])
    response = rollout.tokens[0, len(plain) : length].tolist()
    without, with_hint = (
        torch.tensor(by_hand(trainer.models.policy, prompt, response)) for prompt in (plain, hinted)
    )
    found = torch.tensor(of_responses(targets.old_logp, rollout)[0])
    assert torch.allclose(found, without, atol=1e-4)

    # The correction's weights are those of the policy without a hint against the one with it.
    weights = (without - with_hint).exp().clamp(max=2)
    found = torch.tensor(of_responses(targets.weights, rollout)[0])
    assert torch.allclose(found, weights, atol=1e-3)
    assert of_responses(targets.weights, rollout)[2] == pytest.approx([1.0] * 6, abs=1e-3)
    assert metrics["mismatch/largest"] > 0.01


def test_only_problems_with_a_hint_that_fits_are_answered_again(tmp_path: Path) -> None:
    without = [replace(one, metadata={}) if n == FIRST else one for n, one in enumerate(HINTED)]
    _, metrics = hinting(tmp_path, problems=without).step(0)
    assert metrics["hinted"] == 0 and "hinted_correctness" not in metrics

    longest = max(len(problem.problem.split()) for problem in PROBLEMS)
    assert set(hinting(tmp_path, max_prompt_tokens=longest).collector.hinted) == {0, 1}
    with pytest.raises(DataError, match="with its hint every prompt is longer"):
        hinting(tmp_path, max_prompt_tokens=1)
    with pytest.raises(DataError, match="no problem has a hint in its column 'hint'"):
        hinting(tmp_path, problems=PROBLEMS)


def test_where_every_problem_is_solved_nothing_changes_but_that_hints_are_counted(
    tmp_path: Path,
) -> None:
    def metrics(folder: str, **changes: Any) -> dict[str, float]:
        trainer = make_trainer(tmp_path / folder, rewards=[1.0, 0.0], **{**pairs, **changes})
        return {key: one for key, one in trainer.step(0)[1].items() if key[:5] != "time/"}

    pairs: dict[str, Any] = {"samples_per_prompt": 2, "rollout_batch": 2, "estimator": "rloo"}
    pairs["problems"] = HINTED
    found = metrics("b", hints={})
    assert found.pop("hinted") == 0 and abs(found.pop("mismatch/kl")) < 1e-5
    assert found.pop("mismatch/largest") < 1e-4
    assert found == pytest.approx(metrics("a"), abs=1e-5)


def test_a_template_without_the_problem_is_refused(tiny_recipe: Path) -> None:
    said = refusal(tiny_recipe, ["ppo.hints.template='Look, {hint}'"], "template")
    assert "it needs {problem} and {hint}" in said
    said = refusal(tiny_recipe, ["ppo.hints={}", "ppo.backend=openrlhf"], "hints")
    assert "ppo.hints has no effect on OpenRLHF" in said
