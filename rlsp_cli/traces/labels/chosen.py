"""The labelling that a job asks for, with the model, the verifier and the step scorer behind it."""

from collections.abc import Callable
from functools import partial
from typing import Any

from rlsp_cli.recipe.ppo import Ppo
from rlsp_cli.rewards.call import Call
from rlsp_cli.rewards.models import Addresses
from rlsp_cli.rewards.sample import Score
from rlsp_cli.rewards.scorer import Scorer
from rlsp_cli.rewards.steps import split_steps
from rlsp_cli.traces.labels.binary import BinarySearch
from rlsp_cli.traces.labels.completions import Completions, Drawing
from rlsp_cli.traces.labels.consensus import Consensus
from rlsp_cli.traces.labels.critic import Critic
from rlsp_cli.traces.labels.job import LabelJob
from rlsp_cli.traces.labels.judge import Judge
from rlsp_cli.traces.labels.labelled import Labeller
from rlsp_cli.traces.labels.monte_carlo import MonteCarlo
from rlsp_cli.traces.labels.mutation import Mutation
from rlsp_cli.traces.labels.partial import PartlyRight
from rlsp_cli.traces.labels.refinement import LowStepRefinement
from rlsp_cli.traces.labels.remembered import Remembered
from rlsp_cli.traces.labels.served import drawn_from, replies_from
from rlsp_cli.traces.labels.solution import Solution, Split
from rlsp_cli.traces.labels.sorm import Reachable


def split_of(job: LabelJob) -> Split:
    """The function that splits responses into steps."""
    return partial(split_steps, by=job.steps.by, tag=job.steps.tag)


def chosen_labeller(
    job: LabelJob, scorer: Scorer, models: Addresses, remembered: Remembered
) -> Labeller:
    """The labelling of a job; `scorer` has its verifier and, where one is asked, its step scorer."""

    def monte_carlo() -> MonteCarlo:
        return MonteCarlo(_completions(job, scorer, models, remembered), job.soft)

    def judge() -> Judge:
        return Judge(_judge(job, scorer, remembered), job.threshold, job.soft)

    def binary() -> BinarySearch:
        return BinarySearch(
            _completions(job, scorer, models, remembered), split_of(job), job.searches
        )

    makers: dict[str, Callable[[], Labeller]] = {
        "mc": monte_carlo,
        "sorm": lambda: Reachable(_completions(job, scorer, models, remembered)),
        "binary": binary,
        "judge": judge,
        "consensus": lambda: Consensus(monte_carlo(), judge()),
        "mutation": lambda: Mutation(scorer.verify),
        "partial": PartlyRight,
        "refine": lambda: LowStepRefinement(
            judge(), _critic(job, models, remembered), _completions(job, scorer, models, remembered)
        ),
    }
    return makers[job.label]()


def _completions(
    job: LabelJob, scorer: Scorer, models: Addresses, remembered: Remembered
) -> Completions:
    # Drawn as in training, so that a value is that of the policy which is trained.
    assert job.model is not None, "refused before"
    settings = job.recipe.ppo or Ppo()
    drawing = Drawing(
        job.completions, settings.max_new_tokens, settings.temperature, job.recipe.seed
    )

    named = job.recipe.models.get(job.model)
    verifier = scorer.verifier
    identity = [named and named.model_dump(), verifier.reference, verifier.options, verifier.digest]
    draw = drawn_from(job.model, models[job.model])
    return Completions(draw, drawing, scorer.verify, remembered, identity)


def _critic(job: LabelJob, models: Addresses, remembered: Remembered) -> Critic:
    assert job.critic is not None, "refused before"
    named = job.recipe.models[job.critic]
    return Critic(replies_from(job.critic, models[job.critic]), remembered, named.model_dump())


def _judge(job: LabelJob, scorer: Scorer, remembered: Remembered) -> Callable[[Solution], Score]:
    """A function that scores steps; failures are not remembered."""
    (use,) = scorer.exploration
    models = {name: named.model_dump() for name, named in job.recipe.models.items()}

    def score(solution: Solution) -> Score:
        sample = solution.sample
        steps = tuple(step.text for step in solution.steps)
        question = [use.to_json(), models, sample.prompt, sample.response, sample.reference, steps]

        def ask() -> dict[str, Any]:
            (found,) = scorer.pool.run(Call(use, (sample,), steps))
            if found.failed:
                raise _ScorerError(found)
            return {"tokens": found.tokens, "score": found.to_row()}

        try:
            return Score.from_row(remembered.get(question, ask)["score"])
        except _ScorerError as error:
            return error.score

    return score


class _ScorerError(Exception):
    """A score that failed."""

    def __init__(self, score: Score) -> None:
        super().__init__(score.reason)
        self.score = score
