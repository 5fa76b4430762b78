"""A sampler beside the trainer: its responses are trained on, its log-probabilities are only compared."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rlsp_cli.engine.checkpoint import newest_checkpoint
from rlsp_cli.engine.collector import EmbeddedSampler
from rlsp_cli.engine.decode import Generated
from rlsp_cli.engine.ppo import PpoTrainer
from rlsp_cli.errors import NotReadyError, RlspError
from rlsp_cli.rewards.sample import Sample
from rlsp_cli.runs.stream import read_rows
from tests.conftest import refusal
from tests.test_ppo import make_trainer

pytestmark = pytest.mark.usefixtures("one_thread")

OFF = 0.125
"""What the other program's log-probabilities are too high by."""


class Elsewhere:
    """Draws what the embedded engine draws, in another program that computes with an error."""

    records = False

    def __init__(self, trainer: PpoTrainer, ends_at: int | None = None) -> None:
        context, settings, models = trainer.context, trainer.settings, trainer.models
        self.embedded = EmbeddedSampler(context, settings, models)
        self.ends_at = ends_at

    def draw(
        self,
        prompts: Sequence[list[int]],
        step: int,
        first: int = 0,
        samples: Sequence[Sample] = (),
    ) -> list[Generated]:
        if step == self.ends_at:
            raise NotReadyError("vLLM ended with code 1")
        drawn = self.embedded.draw(prompts, step, first)
        return [replace(one, logp=[p + OFF for p in one.logp], entropy=[]) for one in drawn]


def trainer_with(folder: Path, ends_at: int | None = None, **changes: Any) -> PpoTrainer:
    trainer = make_trainer(folder, **changes)
    trainer.collector.sampler = Elsewhere(trainer, ends_at)
    return trainer


@pytest.mark.parametrize("changes", [{}, {"lora": {"rank": 4}, "epochs": 2}])
def test_log_probabilities_are_the_trainers_and_the_difference_is_a_metric(
    changes: dict[str, Any], tmp_path: Path
) -> None:
    expected = make_trainer(tmp_path / "a", **changes).step(0)[1]
    rollout, found = trainer_with(tmp_path / "b", **changes).step(0)

    assert found.pop("mismatch/kl") == pytest.approx(OFF, abs=1e-4)
    assert found.pop("mismatch/largest") == pytest.approx(OFF, abs=1e-3)
    assert rollout.recorded is None
    for key in found:
        if not key.startswith("time/"):
            assert found[key] == pytest.approx(expected[key], rel=1e-3, abs=1e-4), key
    assert found.keys() == expected.keys()


def test_nothing_is_lost_when_the_sampler_ends(tmp_path: Path) -> None:
    with pytest.raises(RlspError, match="vLLM ended"):
        trainer_with(tmp_path, ends_at=1, save_every=20).run()
    checkpoint = newest_checkpoint(tmp_path / "checkpoints")
    assert checkpoint is not None and checkpoint.step == 1
    assert [row["step"] for row in read_rows(tmp_path / "metrics.jsonl")] == [0]


def test_what_vllm_does_not_take_is_refused(tiny_recipe: Path) -> None:
    changes = ["ppo.sampler=vllm", "ppo.lora={rank: 1024}"]
    said = refusal(tiny_recipe, changes, "rank")
    assert "vLLM takes adapters of rank 512 at most, found 1024" in said
    changes = ["ppo.backend=openrlhf", "ppo.sampler=vllm"]
    assert "ppo.sampler has no effect on OpenRLHF" in refusal(tiny_recipe, changes, "sampler")
