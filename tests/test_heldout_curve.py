"""The held-out curve: a point every few steps, with the step's weights, without an effect on the training."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from rlsp_cli.data import Problem
from rlsp_cli.engine.heldout import HeldoutCurve
from rlsp_cli.engine.ppo import PpoTrainer
from rlsp_cli.errors import DataError
from rlsp_cli.evals.heldout_curve import curve_sampling
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.report.plot import PPO_PLOTS, plots
from rlsp_cli.report.step import steps_of
from rlsp_cli.rewards.sample import Sample, Score
from rlsp_cli.runs.stream import read_rows
from tests.conftest import TINY, load_checked, refusal, rlsp
from tests.test_ppo import Fixed, make_trainer

pytestmark = pytest.mark.usefixtures("one_thread")
PROBLEMS = [Problem(str(n), problem, "a") for n, problem in enumerate(["a b c", "d e", "f"])]


class Judge(Fixed):
    """Rewards in turn for training; held-out responses are right if they are long, or have no verdict."""

    def __init__(self, verdicts: Sequence[float | None]) -> None:
        super().__init__([1.0, 0.0, 0.5, 1.0])
        self.verdicts, self.dies_at = verdicts, 0
        self.seen: list[Sequence[Sample]] = []

    def verify(self, samples: Sequence[Sample]) -> list[Score]:
        self.seen.append(samples)
        if len(self.seen) == self.dies_at:
            raise KeyboardInterrupt
        pairs = zip(samples, self.verdicts, strict=True)
        return [
            Score("c", "timeout") if verdict is None else Score("c", "value", verdict)
            for _, verdict in pairs
        ]


def trainer_of(
    folder: Path, every: int | None, verdicts: Sequence[float | None] = (1, 0, None), **changes: Any
) -> PpoTrainer:
    """A trainer of four steps that answers three held-out problems every so many steps."""
    trainer = make_trainer(folder, steps=4, save_every=2, **changes)
    settings = trainer.settings.model_copy(update={"eval_every": every})
    judge: Any = Judge(verdicts)
    trainer.gatherer.scorer = judge
    trainer.curve = HeldoutCurve(trainer.context, settings, PROBLEMS, trainer.models, judge)
    return trainer


def rows_of(folder: Path) -> list[dict[str, Any]]:
    """The rows without what differs between two equal runs."""
    rows = read_rows(folder / "metrics.jsonl")
    return [{key: row[key] for key in row if not key.startswith("time/")} for row in rows]


def test_there_is_a_point_after_every_so_many_steps(tmp_path: Path) -> None:
    trainer = trainer_of(tmp_path, every=2)
    trainer.run()
    points = {row["step"]: row.get("heldout/correctness") for row in rows_of(tmp_path)}
    # A response without a verdict is a wrong one, as on OpenRLHF.
    assert points == {0: None, 1: pytest.approx(1 / 3), 2: None, 3: pytest.approx(1 / 3)}


def test_a_point_is_of_the_problems_and_the_responses_to_them(tmp_path: Path) -> None:
    trainer = trainer_of(tmp_path, every=1)
    trainer.run()
    seen = trainer.gatherer.scorer.seen  # type: ignore[attr-defined]
    row = rows_of(tmp_path)[-1]
    assert [sample.id for sample in seen[-1]] == ["0", "1", "2"]
    assert {sample.step for sample in seen[-1]} == {3}
    lengths = [sample.num_tokens for sample in seen[-1]]
    assert row["heldout/tokens"] == sum(lengths) / 3
    assert row["heldout/truncated"] == sum(sample.truncated for sample in seen[-1]) / 3


def test_a_curve_changes_nothing_in_the_training(tmp_path: Path) -> None:
    with_curve, without = trainer_of(tmp_path / "a", every=1), trainer_of(tmp_path / "b", None)
    with_curve.run()
    without.run()
    pairs = zip(
        with_curve.models.policy.parameters(), without.models.policy.parameters(), strict=True
    )
    assert all(torch.equal(one, other) for one, other in pairs)
    stripped = []
    for row in rows_of(tmp_path / "a"):
        stripped.append({key: row[key] for key in row if not key.startswith("heldout/")})
    assert stripped == rows_of(tmp_path / "b")


def test_equal_weights_give_equal_points(tmp_path: Path) -> None:
    trainer = trainer_of(tmp_path, every=1, learning_rate=1e-30, critic_learning_rate=1e-30)
    trainer.run()
    texts = [[sample.response for sample in seen] for seen in trainer.gatherer.scorer.seen]  # type: ignore[attr-defined]
    assert texts[0] == texts[1] == texts[3]


def test_a_resumed_run_has_every_point_once(tmp_path: Path) -> None:
    whole = trainer_of(tmp_path / "whole", every=1)
    whole.run()

    killed = trainer_of(tmp_path / "parts", every=1)
    killed.gatherer.scorer.dies_at = 4  # type: ignore[attr-defined]
    with pytest.raises(KeyboardInterrupt):
        killed.run()
    # The newest checkpoint is that of two steps, so the third one and its point are made again.
    assert [row["step"] for row in rows_of(tmp_path / "parts")] == [0, 1, 2]

    resumed = trainer_of(tmp_path / "parts", every=1)
    resumed.run()
    assert [row["step"] for row in rows_of(tmp_path / "parts")] == [0, 1, 2, 3]
    assert rows_of(tmp_path / "parts") == rows_of(tmp_path / "whole")


def test_a_held_out_prompt_that_leaves_no_room_for_its_response_is_refused(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path)
    long = [Problem("0", "a " * 30, "a")]
    with pytest.raises(DataError, match="do not fit the model's 32 positions"):
        HeldoutCurve(
            trainer.context, trainer.settings, long, trainer.models, trainer.gatherer.scorer
        )


def recipe(**changes: Any) -> Recipe:
    """PPO with held-out problems."""
    rows = {"source": "task:pair_sum", "rows": 8}
    return Recipe.model_validate(
        {
            "name": "a",
            "model": {"path": "a/b"},
            "data": {"prompts": rows, "heldout": rows},
            "ppo": {"temperature": 0.9, "max_new_tokens": 33, "eval_every": 1},
            **changes,
        }
    )


def test_the_responses_are_drawn_as_eval_says_within_the_limit_of_ppo() -> None:
    alone = recipe()
    drawn = curve_sampling(alone, alone.ppo)  # type: ignore[arg-type]
    assert (drawn.temperature, drawn.samples, drawn.max_new_tokens) == (0.9, 1, 33)

    evaluated = recipe(eval={"samples": 4, "temperature": 0.6, "max_new_tokens": 99})
    drawn = curve_sampling(evaluated, evaluated.ppo)  # type: ignore[arg-type]
    assert (drawn.temperature, drawn.samples, drawn.max_new_tokens) == (0.6, 4, 33)


def test_a_curve_needs_problems_that_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY)
    path = tmp_path / "tiny.yaml"
    load_checked(path, "ppo.eval_every=2")
    refusal(path, ["data.heldout=null", "eval=null", "ppo.eval_every=2"], "give data.heldout")


def test_the_report_draws_the_points() -> None:
    rows: list[dict[str, float]] = [{"step": 0}, {"step": 1, "heldout/correctness": 0.25}]
    (figure,) = plots(steps_of(rows), {key: PPO_PLOTS[key] for key in PPO_PLOTS if "held" in key})
    assert "Correctness on held-out problems: correctness from 0.25 to 0.25" in figure


@pytest.mark.integration
def test_a_run_shows_its_points_and_its_report_has_them(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY)
    chosen = ["sft=null", "eval=null", "ppo.eval_every=2"]
    told = rlsp("run", "tiny.yaml", *chosen, "--out", "run", cwd=tmp_path).stderr
    assert "held-out problems after step 2: correct " in told
    assert "held-out problems after step 4: correct " in told

    report = json.loads((tmp_path / "run" / "report.json").read_text())["data"]
    assert [row["step"] for row in report["ppo"] if "heldout/correctness" in row] == [1, 3]
    assert "Correctness on held-out problems" in (tmp_path / "run" / "report.html").read_text()
