"""`ppo.select` in training: prompts that are dropped are replaced, and the rest is as it was."""

import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from rlsp_cli.engine.batch import rows_from
from rlsp_cli.engine.checkpoint import newest_checkpoint
from rlsp_cli.engine.order import Shuffled
from rlsp_cli.engine.ppo import PpoTrainer
from rlsp_cli.engine.targets import targets_of
from rlsp_cli.errors import PluginError, SafetyError, StoppedError
from rlsp_cli.rewards.call import Use
from rlsp_cli.rewards.sample import Sample, SampleScore
from rlsp_cli.rewards.selection import Choice
from tests.conftest import rlsp
from tests.test_ppo import REWARDS, make_trainer, rows_of, scored, written_rollout

pytestmark = pytest.mark.usefixtures("one_thread")

PAIRS: dict[str, Any] = {
    "samples_per_prompt": 2,
    "rollout_batch": 2,
    "estimator": "rloo",
    "select": {"use": "some_selector"},
}


class ByLength:
    """A scorer whose reward depends on the response alone, so that a resumed run gets the same."""

    def score(self, samples: Sequence[Sample], alpha: float) -> list[SampleScore]:
        return [scored(len(sample.response) % 3 / 2) for sample in samples]


Keeps = Callable[[Sequence[Sample]], list[bool]]


class Choosing:
    """A selector in this process; it remembers the groups that it was asked about."""

    use = Use("selector", "some_selector", {})

    def __init__(self, keeps: Keeps) -> None:
        self.keeps = keeps
        self.asked: list[Sequence[Sample]] = []

    def choose(
        self, groups: Sequence[Sequence[Sample]], step: int, total_steps: int
    ) -> list[Choice]:
        self.asked += groups
        return [Choice(group, self.keeps(group)) for group in groups]


def selecting(folder: Path, keeps: Keeps, **changes: Any) -> tuple[PpoTrainer, Choosing]:
    trainer = make_trainer(folder, **{**PAIRS, **changes})
    selector: Any = Choosing(keeps)
    trainer.gatherer.selector = selector
    return trainer, selector


def all_but(*ids: str) -> Keeps:
    return lambda group: [group[0].id not in ids] * len(group)


def test_dropped_prompts_are_replaced_by_the_next_of_the_data(tmp_path: Path) -> None:
    first, _, third, *_ = map(str, rows_from(0, 4, 4, seed=0))
    trainer, selector = selecting(tmp_path, all_but(first, third))

    order = list(map(str, rows_from(0, 4, 12, seed=0)))
    kept = [id for id in order if id not in (first, third)]
    for step in range(2):
        rollout, _ = trainer.step(step)
        wanted = kept[2 * step : 2 * step + 2]
        assert [sample.id for sample in rollout.samples] == [wanted[0]] * 2 + [wanted[1]] * 2

    # No prompt of the data was passed over, in this step or between the two.
    asked = [group[0].id for group in selector.asked]
    assert asked == order[: len(asked)]
    assert trainer.gatherer.order.state == [len(asked)]


def test_the_metrics_count_what_was_dropped_and_what_was_left_out(tmp_path: Path) -> None:
    first, *_ = map(str, rows_from(0, 4, 1, seed=0))

    def one_of_two(group: Sequence[Sample]) -> list[bool]:
        return [False, False] if group[0].id == first else [True, False]

    trainer, selector = selecting(tmp_path, one_of_two, rewards=[1.0, 0.5, 0.0, 0.0, 1.0, 1.0])
    rollout, metrics = trainer.step(0)
    assert metrics["filtered"] == 2 and metrics["filtered_correctness"] == 0.75
    assert metrics["unused"] == 2 and rollout.kept == [True, False] * 2
    assert metrics["correctness/mean"] == 0.5  # of the rollout alone

    tokens = [sample.num_tokens or 0 for group in selector.asked for sample in group]
    assert metrics["tokens"] == sum(tokens)  # those of the dropped prompt too
    gathered = trainer.gatherer.gather(1, 0.8)
    assert gathered.asked * 2 == len(gathered.judged) and len(tokens) == 6


def test_the_selector_sees_verdict_answer_and_reward(tmp_path: Path) -> None:
    trainer, selector = selecting(tmp_path, all_but())
    trainer.step(0)
    seen = [(one.correct, one.reward) for group in selector.asked for one in group]
    assert seen == list(zip(REWARDS, REWARDS, strict=True))


def test_replacements_are_drawn_with_random_numbers_of_their_own(tmp_path: Path) -> None:
    # The same problem twice in a step: equal seeds would give equal responses.
    taken: list[str] = []

    def once(group: Sequence[Sample]) -> list[bool]:
        taken.append(group[0].id)
        return [len(taken) > 2] * len(group)

    trainer, selector = selecting(tmp_path, once, max_new_tokens=24)
    trainer.gatherer.order = Shuffled(1, seed=0)
    trainer.step(0)
    responses = [one.response for group in selector.asked for one in group]
    assert len(responses) == 8 == len(set(responses))


def test_too_few_prompts_end_the_run_in_words_and_lose_nothing(tmp_path: Path) -> None:
    def nothing_after_the_first_step(group: Sequence[Sample]) -> list[bool]:
        return [group[0].step == 0] * len(group)

    trainer, selector = selecting(tmp_path, nothing_after_the_first_step, steps=3)
    with pytest.raises(SafetyError) as caught:
        trainer.run()
    said = str(caught.value)
    assert "step 2: ppo.select kept 0 of 40 prompts, and a rollout takes 2; " in said
    assert "some_selector dropped " in said and " of 2 responses right" in said

    checkpoint = newest_checkpoint(trainer.context.paths.checkpoints)
    assert checkpoint is not None and checkpoint.step == 1 == len(rows_of(trainer))
    assert checkpoint.trainer["order"] == [2] and len(selector.asked) == 42


def test_a_selector_that_fails_loses_nothing(tmp_path: Path) -> None:
    def broken(group: Sequence[Sample]) -> list[bool]:
        if group[0].step == 1:
            raise PluginError("selector some_selector, prompt '1': KeyError: 'level'")
        return [True] * len(group)

    trainer, _ = selecting(tmp_path, broken)
    with pytest.raises(PluginError):
        trainer.run()
    checkpoint = newest_checkpoint(trainer.context.paths.checkpoints)
    assert checkpoint is not None and checkpoint.step == 1


def test_a_selector_does_not_hide_that_rewards_fail(tmp_path: Path) -> None:
    def with_verdicts(group: Sequence[Sample]) -> list[bool]:
        return [sample.correct is not None for sample in group]

    trainer, _ = selecting(tmp_path, with_verdicts, rewards=[None, None, 1.0, None])
    with pytest.raises(SafetyError, match="3 of 4 responses failed to be scored"):
        trainer.step(0)


def test_an_unscored_response_does_not_keep_its_prompt(tmp_path: Path) -> None:
    def the_first(group: Sequence[Sample]) -> list[bool]:
        return [True, False]

    trainer, _ = selecting(tmp_path, the_first, rewards=[None, 1.0, 0.5, 1.0, 1.0, 0.0])
    rollout, metrics = trainer.step(0)
    assert metrics["filtered"] == 2 and metrics["filtered_correctness"] == 1.0
    assert [score.reward for score in rollout.scores] == [0.5, 1.0, 1.0, 0.0]


def test_baselines_are_of_the_whole_group_and_the_update_of_what_is_kept(tmp_path: Path) -> None:
    trainer = make_trainer(
        tmp_path, **{**PAIRS, "rollout_batch": 1, "samples_per_prompt": 4, "kl_coef": 0}
    )
    rollout = replace(written_rollout([1.0, 0.0, 0.5, 0.0]), kept=[True, False, False, True])
    targets, _ = targets_of(rollout, trainer.models, trainer.settings, 0.8, 0.0)

    # Leave-one-out of all four: 1 - 0.5/3 and 0 - 1.5/3.
    learned = [
        row[mask > 0].tolist() for row, mask in zip(targets.advantages, targets.mask, strict=True)
    ]
    assert learned[0] == pytest.approx([1 - 0.5 / 3] * 2) and learned[1] == learned[2] == []
    assert learned[3] == pytest.approx([-0.5] * 4)


def test_a_resumed_run_is_the_uninterrupted_one(tmp_path: Path) -> None:
    def by_text(group: Sequence[Sample]) -> list[bool]:
        return [sum(map(ord, group[0].response)) % 2 > 0] * len(group)

    settings: dict[str, Any] = {"steps": 4, "learning_rate": 1e-3, "max_new_tokens": 12}

    def trainer_in(folder: str) -> PpoTrainer:
        trainer, _ = selecting(tmp_path / folder, by_text, **settings)
        scorer: Any = ByLength()
        trainer.gatherer.scorer = scorer
        return trainer

    whole = trainer_in("whole")
    whole.run()
    assert whole.gatherer.order.state > [4 * 2]

    for _ in range(2):
        stopped = trainer_in("parts")
        stopped.context.stop.signal = signal.SIGINT  # it leaves after one step
        with pytest.raises(StoppedError):
            stopped.run()
    assert stopped.gatherer.order.state > [2 * 2]
    resumed = trainer_in("parts")
    resumed.run()

    assert resumed.gatherer.order.state == whole.gatherer.order.state
    for left, right in zip(
        resumed.models.policy.parameters(), whole.models.policy.parameters(), strict=True
    ):
        assert torch.equal(left, right)
    assert rows_of(resumed) == rows_of(whole)


@pytest.mark.integration
def test_a_run_whose_selector_keeps_nothing_ends_with_7_and_can_be_resumed(
    tiny_recipe: Path, tmp_path: Path
) -> None:
    changes = ["ppo.samples_per_prompt=2", "ppo.rollout_batch=4", "ppo.train_batch=8"]
    narrow = [*changes, "ppo.select={use: pass_rate, lo: 0.99, hi: 0.995}"]
    done = rlsp("ppo", tiny_recipe, *narrow, "sft=null", "--out", tmp_path / "run", check=False)
    assert done.returncode == 7 and "Traceback" not in done.stderr
    assert "step 1: ppo.select kept 0 of 80 prompts, and a rollout takes 4" in done.stderr
