"""What a training job tells the reward service, written into the run folder: metrics, rollouts, how it ended."""

import hashlib
import signal
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rlsp_cli.backends.openrlhf.answers import Answer, Answers, Rollout
from rlsp_cli.backends.openrlhf.config import rollout_correction
from rlsp_cli.backends.openrlhf.files import STOP_FILE, StageFiles
from rlsp_cli.errors import JobError, RlspError, SafetyError, StoppedError
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.rewards.combine import alpha_of
from rlsp_cli.rewards.ledger import ledger
from rlsp_cli.rewards.plain import rollout_row
from rlsp_cli.rewards.sample import Sample, SampleScore
from rlsp_cli.rewards.service.openrlhf import Means
from rlsp_cli.runs.failure import write_failure
from rlsp_cli.runs.stream import append_rows, drop_rows_from, read_rows

_NAMES = {
    "policy_loss": "loss/policy",
    "critic_loss": "loss/value",
    "kl": "kl/token",
    "kl_response": "kl/response",
    "return": "return/mean",
    "values": "value/mean",
    "sampled_entropy": "entropy",
    "vllm_kl": "mismatch/kl",
    "is_filter_ratio": "mismatch/outside",
    "actor_lr": "lr/policy",
    "critic_lr": "lr/critic",
    "actor_grad_norm": "grad_norm/policy",
    "critic_grad_norm": "grad_norm/critic",
    "ppo_clip_ratio": "clip_fraction",
    "separate_advantage": "advantage/separate",
    "eval_default_pass1": "heldout/correctness",
    "eval_default_response_length_mean": "heldout/tokens",
    "eval_default_truncated_rate": "heldout/truncated",
    "timing/generation": "time/rollout_s",
    "timing/make_experience": "time/experience_s",
    "timing/ppo_train": "time/train_s",
    "timing/broadcast": "time/sync_s",
    "timing/step_total": "time/step_s",
}
"""OpenRLHF's names, and those of docs/metrics.md; what is not among them is kept as `openrlhf/NAME`."""
_OURS = (
    "rlsp_",
    "eval_",
    "reward",
    "score",
    "response_length",
    "rollout/reward",
    "rollout/response",
    "total_length",
)
"""What the ledger tells better, from the samples themselves."""
_KEPT = 64
"""Responses of a step that rollouts.jsonl keeps."""


class Journal:
    """Keeps the samples of steps that are under way, and writes a step down when the trainer says that it is over.

    `total` steps are wanted; training must begin with step `expected`: 0, or that of the checkpoint
    it goes on from.
    """

    def __init__(
        self, recipe: Recipe, files: StageFiles, total: int, expected: int, report: Path | None
    ) -> None:
        assert recipe.ppo, "a job of OpenRLHF trains by PPO"
        self.recipe, self.ppo, self.files = recipe, recipe.ppo, files
        self.total, self.expected, self.report = total, expected, report
        self.paths, self._answers = files.stage, Answers(files.answers)

        last = max((row["step"] for row in read_rows(self.paths.metrics)), default=-1)
        self._step = max(
            last + 1, expected
        )  # a service that was started again goes on where it was
        self._rollout = max(self._step, *(step + 1 for step in self._answers.made), 0)
        drop_rows_from(self.paths.rollouts, self._step)

    @property
    def _has_weights(self) -> bool:
        """Whether importance weights have bounds; where they only measure, all of them lie outside."""
        return rollout_correction(self.ppo.openrlhf) != "none"

    @property
    def step(self) -> int:
        """The step whose rollout is being made; with asynchronous rollouts it is ahead of training."""
        return self._rollout

    @property
    def means(self) -> Means:
        """Running means, as a service before this one left them."""
        return self._answers.means

    def replies(self) -> Iterator[tuple[int, Any]]:
        """What was replied to requests of steps that are not over."""
        made = self._answers.made.values()
        for answer in (*(a for r in made for a in (*r.taken, *r.filtered)), *self._answers.open):
            if answer.request is not None:
                yield answer.request, answer.said

    def add(
        self,
        request: int | None,
        samples: Sequence[Sample],
        scores: Sequence[SampleScore],
        said: Any,
    ) -> None:
        """Samples of this step, and what was replied."""
        self._answers.add(
            [Answer(request, *pair, said) for pair in zip(samples, scores, strict=True)]
        )

    def event(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """What training tells, and `plan`, which it asks; JobError when it does not go on where it should."""
        if body["event"] == "plan":
            return self._plan()
        kinds = {"begin": self._begin, "rollout": self._end_rollout, "step": self._end_step}
        kinds |= {"stopped": self._stopped, "failed": self._failed}
        kinds[body["event"]](body)
        return {"stop": (self.paths.root / STOP_FILE).exists()}

    def close(self) -> None:
        """Nothing more is told."""
        self._answers.close()

    def _plan(self) -> dict[str, Any]:
        evaluates = self.recipe.data.heldout is not None
        return {
            "steps": self.total,
            "eval_every": self.ppo.openrlhf.eval_every if evaluates else None,
            "export_every": self.ppo.export_every,
            "exports": str(self.files.exports),
        }

    def _begin(self, body: Mapping[str, Any]) -> None:
        step = int(body["step"])
        if step != self.expected:
            raise JobError(
                f"OpenRLHF goes on from step {step}, not from {self.expected}; its checkpoint was not loaded"
            )
        for stream in (self.paths.metrics, self.paths.rollouts):
            drop_rows_from(stream, step)
        self._step = self._rollout = step
        self._answers.clear()

    def _end_rollout(self, body: Mapping[str, Any]) -> None:
        step = int(body["step"])
        if step >= self._rollout:  # else it is told again: the service ended before it could answer
            self._answers.complete(step, map(int, body["requests"]))
            self._rollout = step + 1

    def _end_step(self, body: Mapping[str, Any]) -> None:
        step = int(body["step"])
        if step < self._step:
            return  # it is told again

        rollout = self._answers.made.get(step, Rollout([], []))
        samples = [(answer.sample, answer.score) for answer in rollout.taken]
        told = _renamed(body["numbers"], self._has_weights)
        row = {"step": step, "total_steps": self.total, **self._ledger(samples, step), **told}

        append_rows(
            self.paths.rollouts, [rollout_row(step, *pair) for pair in _some(samples, step)]
        )
        append_rows(
            self.paths.metrics, [{**row, **self._filtered(rollout), **_speed(row, rollout)}]
        )
        self._step = (
            step + 1
        )  # its row is what tells a service that is started again that it is over
        self._answers.forget(step)

    def _filtered(self, rollout: Rollout) -> dict[str, float]:
        """How many responses no step learns from, because of their prompt's mean score."""
        return {"filtered": len(rollout.filtered)} if self.ppo.openrlhf.dynamic_filtering else {}

    def _stopped(self, body: Mapping[str, Any]) -> None:
        self._report(
            StoppedError(f"stopped after step {body['step']}, with a checkpoint", signal.SIGTERM)
        )

    def _failed(self, body: Mapping[str, Any]) -> None:
        self._report(SafetyError(str(body["message"])))

    def _report(self, error: RlspError) -> None:
        """Why the job ends, for those who wait for it."""
        if self.report is not None:
            write_failure(self.report, error)

    def _ledger(self, samples: Sequence[tuple[Sample, SampleScore]], step: int) -> dict[str, float]:
        if not any(score.reward is not None for _, score in samples):
            return {}
        scores = [score for _, score in samples]
        return ledger(
            [sample for sample, _ in samples],
            scores,
            self.recipe.reward,
            alpha_of(self.recipe, step),
        )


def _renamed(numbers: Mapping[str, float], has_weights: bool) -> dict[str, float]:
    dropped = () if has_weights else ("is_filter_ratio",)
    known = {name: value for name, value in numbers.items() if name not in dropped}
    kept = {
        name: value for name, value in known.items() if name in _NAMES or not name.startswith(_OURS)
    }
    return {_NAMES.get(name, f"openrlhf/{name}"): value for name, value in kept.items()}


def _speed(row: Mapping[str, Any], rollout: Rollout) -> dict[str, float]:
    """Response tokens a second, filtered ones too: of the whole step, and of the engines while they sampled."""
    tokens = sum(answer.sample.num_tokens or 0 for answer in (*rollout.taken, *rollout.filtered))
    times = {
        "time/tokens_per_s": row.get("time/step_s"),
        "time/sampled_tokens_per_s": row.get("time/rollout_s"),
    }
    return {
        name: round(tokens / seconds, 1) for name, seconds in times.items() if seconds and tokens
    }


def _some(
    samples: Sequence[tuple[Sample, SampleScore]], step: int
) -> list[tuple[Sample, SampleScore]]:
    """A random part of a step's samples, whole groups together: the first to come would be the shortest."""
    groups: dict[bytes, list[tuple[Sample, SampleScore]]] = defaultdict(list)
    for pair in sorted(samples, key=lambda pair: pair[0].response):
        groups[hashlib.sha256(f"{step}:{pair[0].group}".encode()).digest()].append(pair)
    kept = [groups[rank] for rank in sorted(groups)]
    while len(kept) > 1 and sum(map(len, kept)) > _KEPT:
        kept.pop()
    return [pair for group in kept for pair in group][:_KEPT]
