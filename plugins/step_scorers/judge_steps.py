"""A language model judges each step."""

from collections.abc import Sequence

from rlsp_cli.rewards import ModelName, Sample, served_model, step_scorer
from rlsp_cli.rewards.step_judge import judged_steps


@step_scorer
def judge_steps(
    sample: Sample,
    steps: Sequence[str],
    *,
    model: ModelName = "judge",
    votes: int = 3,
    max_tokens: int = 1024,
) -> list[float | None]:
    """The share of several prompts to a judge that call a step right (AURORA, arXiv 2502.11520).

    Each of the `votes` prompts, at most three, asks about one step after those before it. A reply
    without one clear verdict is no vote; a step without votes abstains. The prompts are ours.
    """
    return judged_steps(served_model(model), sample, steps, votes, max_tokens)
