"""A sampled response as a `Sample`, as rewards see it in training."""

from rlsp_cli.data import Problem
from rlsp_cli.evals.samplers.sampler import Response
from rlsp_cli.rewards.sample import Sample


def sampled(problem: Problem, prompt: str, response: Response, limit: int) -> Sample:
    """The response to a problem's prompt, which could have at most `limit` tokens."""
    return Sample(
        prompt=prompt,
        response=response.text,
        reference=problem.answer,
        id=problem.id,
        metadata=problem.metadata,
        num_tokens=response.num_tokens,
        max_tokens=limit,
        truncated=response.truncated,
        turns=response.turns,
    )
