"""A language model judges each step twice: alone, and knowing the right answer."""

from collections.abc import Sequence

from rlsp_cli.rewards import ModelName, Sample, served_model, step_scorer
from rlsp_cli.rewards.step_judge import judged_steps


@step_scorer
def judge_steps_by_reference(
    sample: Sample,
    steps: Sequence[str],
    *,
    model: ModelName = "judge",
    votes: int = 3,
    max_tokens: int = 1024,
) -> list[float | None]:
    """As `judge_steps`, and a second time with the reference (reverse verification, 2502.11520).

    The votes of both passes count alike, which is ours. A sample without a reference has one pass.
    """
    references = [None, sample.reference] if sample.reference else [None]
    return judged_steps(served_model(model), sample, steps, votes, max_tokens, references)
