"""What a training job reports to the reward service, written into the run folder.

Metrics, rollouts and the reason of an end come from here, by the same code as in the embedded
engine; OpenRLHF's half of the conversation is `templates/openrlhf/rlsp_trainer.py`.
"""

import hashlib
import signal
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rlsp_cli.backends.openrlhf.files import STOP_FILE, OpenRlhfFiles
from rlsp_cli.backends.openrlhf.replies import FilteredRollout, Replies, Reply
from rlsp_cli.errors import JobError, RlspError, SafetyError, StoppedError
from rlsp_cli.recipe.ppo import Ppo
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.rewards.combine import alpha_of
from rlsp_cli.rewards.ledger import ledger
from rlsp_cli.rewards.plain import rollout_row
from rlsp_cli.rewards.sample import Sample, SampleScore
from rlsp_cli.rewards.service.openrlhf import Means
from rlsp_cli.rewards.steps import paid_steps
from rlsp_cli.rewards.thinking import opened
from rlsp_cli.runs.failure import write_failure
from rlsp_cli.runs.stream import append_rows, drop_rows_from, read_rows

_METRICS = {
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
"""OpenRLHF's name -> that of docs/metrics.md. Others are kept as `openrlhf/NAME`."""
_LEDGERS_OWN = (
    "rlsp_",
    "eval_",
    "reward",
    "score",
    "response_length",
    "rollout/reward",
    "rollout/response",
    "total_length",
)
"""Beginnings of names that are dropped: the ledger computes these from the samples themselves."""
_ROLLOUT_ROWS = 64
"""Responses of a step that rollouts.jsonl keeps."""

Pair = tuple[Sample, SampleScore]


class Journal:
    """Holds samples of steps under way, and writes a step down when the trainer reports its end.

    `total` steps are wanted. Training must begin with step `expected`: 0, or that of the checkpoint
    it resumes from. An error that ends the job is written to the file `report`.

    The trainer repeats an event until it is answered, so each may arrive twice: the service
    may have died after it wrote, and before it answered. A step's row in metrics.jsonl is what
    makes it over, for this service and for one that is started after it.
    """

    def __init__(
        self,
        recipe: Recipe,
        ppo: Ppo,
        files: OpenRlhfFiles,
        total: int,
        expected: int,
        report: Path | None,
    ) -> None:
        self.recipe, self.ppo, self.files = recipe, ppo, files
        self.total, self.expected, self.report = total, expected, report
        self.paths, self._replies = files.stage, Replies(files.replies)

        # A service that was started again goes on where the one before it was.
        last = max((row["step"] for row in read_rows(self.paths.metrics)), default=-1)
        self._step = max(last + 1, expected)
        self._rollout = max(self._step, *(step + 1 for step in self._replies.made), 0)
        drop_rows_from(self.paths.rollouts, self._step)

    @property
    def step(self) -> int:
        """The step whose rollout is being made; asynchronous rollouts are ahead of training."""
        return self._rollout

    @property
    def means(self) -> Means:
        """Running means, as a service before this one left them."""
        return self._replies.means

    def replies(self) -> Iterator[tuple[int, Any]]:
        """(request, body) of what was replied for steps that are not over."""
        replies: list[Reply] = []
        for rollout in self._replies.made.values():
            replies += rollout.replies
        replies += self._replies.current

        for reply in replies:
            if reply.request is not None:
                yield reply.request, reply.body

    def add(
        self,
        request: int | None,
        samples: Sequence[Sample],
        scores: Sequence[SampleScore],
        body: Any,
    ) -> None:
        """Samples of this step, and what was replied."""
        pairs = zip(samples, scores, strict=True)
        self._replies.add([Reply(request, sample, score, body) for sample, score in pairs])

    def event(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """What the trainer reports, answered with whether to stop; or its question for the plan.

        JobError when training does not begin where it should.
        """
        if body["event"] == "plan":
            return self._plan()

        events: dict[str, Callable[[Mapping[str, Any]], None]] = {
            "begin": self._begin,
            "rollout": self._end_rollout,
            "step": self._end_step,
            "stopped": self._stopped,
            "failed": self._failed,
        }
        events[body["event"]](body)

        # A file asks the job to stop: one on other machines gets no signal from here.
        answer: dict[str, Any] = {"stop": (self.paths.root / STOP_FILE).exists()}
        if body["event"] == "rollout" and self.recipe.reward.is_dense:
            answer["steps"] = self._steps(body)
        return answer

    def close(self) -> None:
        """Nothing more is reported."""
        self._replies.close()

    def _plan(self) -> dict[str, Any]:
        return {
            "steps": self.total,
            "eval_every": self.ppo.eval_every,
            "export_every": self.ppo.export_every,
            "exports": str(self.files.exports),
        }

    def _begin(self, body: Mapping[str, Any]) -> None:
        # OpenRLHF starts from the beginning, without a word, when it finds no checkpoint.
        step = int(body["step"])
        if step != self.expected:
            problem = f"OpenRLHF goes on from step {step}, not from {self.expected}"
            raise JobError(f"{problem}; its checkpoint was not loaded")

        for stream in (self.paths.metrics, self.paths.rollouts):
            drop_rows_from(stream, step)
        self._step = self._rollout = step
        self._replies.clear()

    def _end_rollout(self, body: Mapping[str, Any]) -> None:
        step = int(body["step"])
        if step < self._rollout:
            return  # a repetition

        self._replies.complete(step, map(int, body["requests"]))
        self._rollout = step + 1

    def _steps(self, body: Mapping[str, Any]) -> list[dict[str, Any]]:
        """For each request of a rollout, in its order, where its response earned what."""
        step = int(body["step"])
        taken = {reply.request: reply for reply in self._replies.made[step].taken}
        share = 1 - alpha_of(self.recipe, step)

        found = []
        for request in map(int, body["requests"]):
            reply = taken[request]
            paid = paid_steps(reply.score, self.recipe.reward)
            worth = [[one.end, share * one.value] for one in paid]
            found.append({"begun": opened(reply.sample.prompt), "paid": worth})
        return found

    def _end_step(self, body: Mapping[str, Any]) -> None:
        step = int(body["step"])
        if step < self._step:
            return  # a repetition

        rollout = self._replies.made.get(step, FilteredRollout())
        samples = [(reply.sample, reply.score) for reply in rollout.taken]
        measured = _renamed(body["numbers"], self._has_weights)
        row = {"step": step, "total_steps": self.total, **self._ledger(samples, step), **measured}
        row |= self._filtered(rollout)
        row |= _speed(row, rollout)

        # Metrics come last: the row there says that the step is over.
        rows = [rollout_row(step, *pair) for pair in _random_groups(samples, step)]
        append_rows(self.paths.rollouts, rows)
        append_rows(self.paths.metrics, [row])
        self._step = step + 1
        self._replies.forget(step)

    @property
    def _has_weights(self) -> bool:
        """Whether importance weights have bounds; where they only measure, all lie outside."""
        return self.ppo.correction != "none"

    def _filtered(self, rollout: FilteredRollout) -> dict[str, float]:
        """How many responses no step learns from, because of their prompt's mean score."""
        return {"filtered": len(rollout.filtered)} if self.ppo.select else {}

    def _stopped(self, body: Mapping[str, Any]) -> None:
        message = f"stopped after step {body['step']}, with a checkpoint"
        self._report(StoppedError(message, signal.SIGTERM))

    def _failed(self, body: Mapping[str, Any]) -> None:
        self._report(SafetyError(str(body["message"])))

    def _report(self, error: RlspError) -> None:
        """Why the job ends, for the driver that waits for it."""
        if self.report is not None:
            write_failure(self.report, error)

    def _ledger(self, pairs: Sequence[Pair], step: int) -> dict[str, float]:
        # Without any score there are no means; a run whose rewards fail ends by its breaker.
        if not any(score.reward is not None for _, score in pairs):
            return {}
        samples, scores = [sample for sample, _ in pairs], [score for _, score in pairs]
        return ledger(samples, scores, self.recipe.reward, alpha_of(self.recipe, step))


def _renamed(numbers: Mapping[str, float], has_weights: bool) -> dict[str, float]:
    """OpenRLHF's numbers under the names of docs/metrics.md, without those that the ledger has."""
    renamed = {}
    for name, value in numbers.items():
        if name == "is_filter_ratio" and not has_weights:
            continue
        if name in _METRICS:
            renamed[_METRICS[name]] = value
        elif not name.startswith(_LEDGERS_OWN):
            renamed[f"openrlhf/{name}"] = value
    return renamed


def _speed(row: Mapping[str, Any], rollout: FilteredRollout) -> dict[str, float]:
    """Response tokens a second, filtered ones too: of the step, and of the engines' sampling."""
    tokens = sum(reply.sample.num_tokens or 0 for reply in rollout.replies)
    times = {
        "time/tokens_per_s": row.get("time/step_s"),
        "time/sampled_tokens_per_s": row.get("time/rollout_s"),
    }
    return {
        name: round(tokens / seconds, 1) for name, seconds in times.items() if seconds and tokens
    }


def _random_groups(samples: Sequence[Pair], step: int) -> list[Pair]:
    """At most `_ROLLOUT_ROWS` of a step's samples, whole groups where they fit.

    The order is a hash of step and group, so it is the same when a step is written again. The first
    that were scored would not do: short responses are ready first.
    """
    groups: dict[bytes, list[Pair]] = defaultdict(list)
    for sample, score in sorted(samples, key=lambda pair: pair[0].response):
        rank = hashlib.sha256(f"{step}:{sample.group}".encode()).digest()
        groups[rank].append((sample, score))

    kept: list[Pair] = []
    for rank in sorted(groups):
        if kept and len(kept) + len(groups[rank]) > _ROLLOUT_ROWS:
            break
        kept += groups[rank]
    return kept[:_ROLLOUT_ROWS]
