"""Ask a continuation what follows the model's words, in worker processes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rlsp_cli.recipe.continuation import ContinuationUse
from rlsp_cli.recipe.reward import Reward
from rlsp_cli.rewards.call import Call, Use
from rlsp_cli.rewards.models import NO_MODELS, Addresses
from rlsp_cli.rewards.pool import Pool
from rlsp_cli.rewards.registry import get_plugin
from rlsp_cli.rewards.sample import Sample, Score

ReplyOutcome = Literal["text", "closing", "whole", "error", "timeout"]


@dataclass(frozen=True)
class Reply:
    """What follows a response: a text, nothing (`whole`), or a failure with its reason.

    `closing` is a text that ends the response, and is not read by the model. `tokens` are what other
    models read and wrote for it.
    """

    outcome: ReplyOutcome
    text: str = ""
    reason: str | None = None
    tokens: int = 0


class Continuer:
    """A continuation with its options and its worker processes, which can ask `models`.

    A context manager; `limits` are those of the workers.
    """

    def __init__(
        self,
        continuation: ContinuationUse,
        limits: Reward,
        files: Sequence[str] = (),
        models: Addresses = NO_MODELS,
    ) -> None:
        plugin = get_plugin("continuation", continuation.use, files)
        self.settings = continuation
        self.use = Use(
            plugin.kind,
            continuation.use,
            continuation.options,
            tuple(files),
            digest=plugin.digest,
            timeout_s=continuation.timeout_s,
        )
        self.pool = Pool(
            [self.use], limits.workers, limits.timeout_s, limits.memory_gb, models=models
        )

    @property
    def name(self) -> str:
        """The function's name, which its turns have."""
        return self.use.name

    def ask(self, samples: Sequence[Sample]) -> list[Reply]:
        """What follows each of the responses so far."""
        scores = self.pool.map([Call(self.use, (sample,)) for sample in samples])
        return [_reply(score) for (score,) in scores]

    def close(self) -> None:
        """End the workers."""
        self.pool.close()

    def __enter__(self) -> "Continuer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _reply(score: Score) -> Reply:
    if score.outcome == "value":
        outcome: ReplyOutcome = "text" if score.value else "closing"
    else:
        outcome = "whole" if score.outcome == "abstain" else score.outcome
    return Reply(outcome, score.answer or "", score.reason, score.tokens)
