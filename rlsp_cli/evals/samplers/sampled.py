"""A sampled response as a `Sample`, as rewards see it in training."""

from rlsp_cli.data import Problem
from rlsp_cli.evals.samplers.sampler import Response
from rlsp_cli.rewards.sample import Sample
from rlsp_cli.rewards.thinking import whole


def sampled(problem: Problem, prompt: str, response: Response, limit: int) -> Sample:
    """The response to a problem's prompt, which could have at most `limit` tokens.

    With a start it is whole: the sampler was asked to go on from there.
    """
    begun = whole(prompt, problem.start) if problem.start else ""
    return Sample(
        prompt=prompt,
        response=begun + response.text,
        reference=problem.answer,
        id=problem.id,
        metadata=problem.metadata,
        num_tokens=response.num_tokens,
        max_tokens=limit,
        truncated=response.truncated,
        turns=response.turns,
        start=len(begun),
    )
