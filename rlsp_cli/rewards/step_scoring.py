"""A step scorer with its worker processes, for responses whose steps may be given."""

from collections.abc import Sequence
from typing import NamedTuple

from rlsp_cli.recipe.plugin_use import ExplorationUse, ScorerUse
from rlsp_cli.recipe.reward import Reward
from rlsp_cli.rewards.call import Call
from rlsp_cli.rewards.look_ahead import looks_ahead
from rlsp_cli.rewards.models import NO_MODELS, Addresses
from rlsp_cli.rewards.pool import Pool
from rlsp_cli.rewards.sample import Sample, Score
from rlsp_cli.rewards.scorer import use_of
from rlsp_cli.rewards.steps import split_steps


class Stepped(NamedTuple):
    """A response, and the texts of its steps where these are given instead of found by a rule."""

    sample: Sample
    steps: tuple[str, ...] | None = None


class StepScorer:
    """A step scorer of a recipe's entry; a context manager. `limits` are those of the workers.

    It can ask `models`.
    """

    def __init__(
        self,
        use: ExplorationUse | ScorerUse,
        limits: Reward,
        files: Sequence[str] = (),
        models: Addresses = NO_MODELS,
    ) -> None:
        assert use.steps is not None, "checked by the caller"
        self.steps = use.steps
        self.use = use_of("step_scorer", use, files)
        self.pool = Pool(
            [self.use], limits.workers, limits.timeout_s, limits.memory_gb, models=models
        )

    def score(self, responses: Sequence[Stepped]) -> list[Score]:
        """For each response its outcome, with the scores of its steps and their aggregate."""
        calls = [Call(self.use, (one.sample,), one.steps) for one in responses]
        return [score for (score,) in self.pool.map(calls)]

    def score_and_check(self, responses: Sequence[Stepped]) -> list[Score]:
        """As `score`, but a response is an error if the score of a step changes without later ones.

        This asks about half of each response a second time.
        """
        scores = self.score(responses)
        changes = looks_ahead(self.pool, self.use, [one.sample for one in responses], scores)
        return [
            Score(score.component, "error", reason=change, ms=score.ms) if change else score
            for score, change in zip(scores, changes, strict=True)
        ]

    def change_without_later_steps(self, response: Stepped) -> str | None:
        """What changes in words when the later half of the steps is cut off; None if nothing does.

        None also where the whole response has no scores.
        """
        (score,) = self.score([response])
        if score.failed:
            return None
        (change,) = looks_ahead(self.pool, self.use, [response.sample], [score])
        return change

    def texts(self, response: Stepped) -> list[str]:
        """The steps of a response, also where its scorer failed."""
        if response.steps is not None:
            return list(response.steps)
        found = split_steps(response.sample.response, self.steps.by, self.steps.tag)
        return [step.text for step in found]

    def close(self) -> None:
        """End the workers."""
        self.pool.close()

    def __enter__(self) -> "StepScorer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
