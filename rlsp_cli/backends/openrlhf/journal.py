"""What a training job tells the reward service, written into the run folder: metrics, rollouts, how it ended."""

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rlsp_cli.backends.openrlhf.config import rollout_correction
from rlsp_cli.backends.openrlhf.files import STOP_FILE
from rlsp_cli.errors import JobError
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.rewards.combine import alpha_of
from rlsp_cli.rewards.ledger import ledger
from rlsp_cli.rewards.plain import rollout_row
from rlsp_cli.rewards.sample import Sample, SampleScore
from rlsp_cli.runs.paths import StagePaths
from rlsp_cli.runs.stream import append_rows, drop_rows_from, read_rows, write_json

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
    "timing/generation": "time/rollout_s",
    "timing/make_experience": "time/experience_s",
    "timing/ppo_train": "time/train_s",
    "timing/broadcast": "time/sync_s",
    "timing/step_total": "time/step_s",
}
"""OpenRLHF's names, and those of docs/metrics.md; what is not among them is kept as `openrlhf/NAME`."""
_OURS = ("rlsp_", "reward", "score", "response_length", "rollout/reward", "rollout/response", "total_length")
"""What the ledger tells better, from the samples themselves."""
_KEPT = 64
"""Responses of a step that rollouts.jsonl keeps."""
_STOPPED = 143


class Journal:
    """Keeps the samples of the step that runs, and writes it down when the trainer says that it is over.

    `expected` is the step that training must begin with: 0, or that of the checkpoint it goes on from.
    """

    def __init__(self, recipe: Recipe, paths: StagePaths, total: int, expected: int, report: Path | None) -> None:
        self.recipe, self.paths, self.total, self.expected, self.report = recipe, paths, total, expected, report
        last = max((row["step"] for row in read_rows(paths.metrics)), default=-1)
        self._step = max(last + 1, expected)  # a service that was started again goes on where it was
        self._samples: list[tuple[Sample, SampleScore]] = []
        self._numbers: dict[str, float] = {}

    @property
    def _has_weights(self) -> bool:
        """Whether importance weights have bounds; where they only measure, all of them lie outside."""
        return self.recipe.ppo is not None and rollout_correction(self.recipe.ppo) != "none"

    @property
    def step(self) -> int:
        """The rollout step that samples belong to now."""
        return self._step

    def add(self, samples: Sequence[Sample], scores: Sequence[SampleScore]) -> None:
        """Samples of this step."""
        self._samples += zip(samples, scores, strict=True)

    def event(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """`begin`, `step`, `eval` or `stopped`; JobError when training does not go on where it should."""
        kinds = {"begin": self._begin, "step": self._end_step, "eval": self._evaluated, "stopped": self._stopped}
        kinds[body["event"]](body)
        return {"stop": (self.paths.root / STOP_FILE).exists()}

    def _begin(self, body: Mapping[str, Any]) -> None:
        step = int(body["step"])
        if step != self.expected:
            raise JobError(
                f"OpenRLHF goes on from step {step}, not from {self.expected}; its checkpoint was not loaded"
            )
        for stream in (self.paths.metrics, self.paths.rollouts):
            drop_rows_from(stream, step)
        self._step = step

    def _end_step(self, body: Mapping[str, Any]) -> None:
        step, samples = int(body["step"]), self._samples
        if step < self._step:
            return  # it is told again: the service ended before it could answer
        self._samples, self._step = [], step + 1
        told = _renamed(body["numbers"], self._has_weights)
        row = {"step": step, "total_steps": self.total, **self._ledger(samples, step), **told}
        append_rows(self.paths.metrics, [{**row, **_speed(row, samples), **self._numbers}])
        self._numbers = {}
        append_rows(self.paths.rollouts, [rollout_row(step, *pair) for pair in _some(samples, step)])

    def _evaluated(self, body: Mapping[str, Any]) -> None:
        """Held-out numbers go into the row of the step that ends next."""
        numbers = {key.removeprefix("eval_default_"): value for key, value in body["numbers"].items()}
        names = {
            "pass1": "heldout/correctness",
            "response_length_mean": "heldout/tokens",
            "truncated_rate": "heldout/truncated",
        }
        self._numbers = {name: numbers[key] for key, name in names.items() if key in numbers}

    def _stopped(self, body: Mapping[str, Any]) -> None:
        if self.report is not None:
            message = f"stopped after step {body['step']}, with a checkpoint"
            write_json(self.report, {"exit_code": _STOPPED, "message": message})

    def _ledger(self, samples: Sequence[tuple[Sample, SampleScore]], step: int) -> dict[str, float]:
        if not any(score.reward is not None for _, score in samples):
            return {}
        scores = [score for _, score in samples]
        return ledger([sample for sample, _ in samples], scores, self.recipe.reward, alpha_of(self.recipe, step))


def _renamed(numbers: Mapping[str, float], has_weights: bool) -> dict[str, float]:
    hidden = _OURS if has_weights else (*_OURS, "is_filter_ratio")
    kept = {name: value for name, value in numbers.items() if not name.startswith(hidden)}
    return {_NAMES.get(name, f"openrlhf/{name}"): value for name, value in kept.items()}


def _speed(row: Mapping[str, Any], samples: Sequence[tuple[Sample, SampleScore]]) -> dict[str, float]:
    """Response tokens a second: of the whole step, and of the engines while they sampled."""
    tokens = sum(sample.num_tokens or 0 for sample, _ in samples)
    times = {"time/tokens_per_s": row.get("time/step_s"), "time/sampled_tokens_per_s": row.get("time/rollout_s")}
    return {name: round(tokens / seconds, 1) for name, seconds in times.items() if seconds and tokens}


def _some(samples: Sequence[tuple[Sample, SampleScore]], step: int) -> list[tuple[Sample, SampleScore]]:
    """A random part of a step's samples, whole groups together: the first to come would be the shortest."""
    groups: dict[bytes, list[tuple[Sample, SampleScore]]] = defaultdict(list)
    for pair in sorted(samples, key=lambda pair: pair[0].response):
        groups[hashlib.sha256(f"{step}:{pair[0].group}".encode()).digest()].append(pair)
    kept = [groups[rank] for rank in sorted(groups)]
    while len(kept) > 1 and sum(map(len, kept)) > _KEPT:
        kept.pop()
    return [pair for group in kept for pair in group][:_KEPT]
