"""The model under evaluation judges its own steps."""

from collections.abc import Sequence

from rlsp_cli.rewards import ModelName, Sample, served_model, step_scorer
from rlsp_cli.rewards.step_judge import judged_steps


@step_scorer
def self(
    sample: Sample,
    steps: Sequence[str],
    *,
    model: ModelName = "self",
    votes: int = 1,
    max_tokens: int = 1024,
) -> list[float | None]:
    """As `judge_steps`, by the model that wrote the response (Self-PRM).

    The name `self` is the model under evaluation, so it works in `eval` alone.
    """
    return judged_steps(served_model(model), sample, steps, votes, max_tokens)
