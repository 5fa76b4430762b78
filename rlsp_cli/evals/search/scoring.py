"""Scores of nodes: a step scorer of all of them, or a verifier of whole responses."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol

from rlsp_cli.errors import SafetyError
from rlsp_cli.rewards import Node, Sample, Tree
from rlsp_cli.rewards.call import Call, Use
from rlsp_cli.rewards.pool import Pool
from rlsp_cli.rewards.sample import Score

_RECENT = 16
"""The scores in a row of which a share may fail."""


class NodeScorer(Protocol):
    """Anything that scores nodes."""

    def score(self, places: Sequence[tuple[Tree, Node]]) -> Iterator[Score | None]:
        """A score of each, in their order, as they come; None for what it does not score."""
        ...


class StepScoring:
    """A step scorer in worker processes; it sees no reference and no column of the bench.

    `limit` is the share of the last 16 scores that may fail, or of the first ones if all fail.
    """

    def __init__(self, use: Use, pool: Pool, limit: float) -> None:
        self.use, self.pool, self.limit = use, pool, limit
        self._recent: deque[bool] = deque(maxlen=_RECENT)

    def score(self, places: Sequence[tuple[Tree, Node]]) -> Iterator[Score]:
        """The steps are those of the response so far, as they would be in a whole response.

        SafetyError before the first score if too many fail, as where a model's server has ended.
        """
        calls = [Call(self.use, (_blind(*place),)) for place in places]
        futures = [self.pool.submit(partial(self.pool.run, call)) for call in calls]

        # Once a failure is written down, a resumed search takes it for the node's score.
        scores = [future.result()[0] for future in futures]
        for score in scores:
            self._recent.append(score.failed)
            if score.failed and len(self._recent) == _RECENT:
                self._refuse_failing(score)

        # A small search may end before there are 16, and a dead scorer has none but failures.
        if scores and all(self._recent):
            self._refuse_failing(scores[-1])
        yield from scores

    def _refuse_failing(self, score: Score) -> None:
        count, failed = len(self._recent), sum(self._recent)
        if failed > self.limit * count:
            raise SafetyError(
                f"search.scorer: {failed} of the last {count} scores failed "
                f"(reward.failure_limit {self.limit}): {score.reason}"
            )


class VerifierScoring:
    """The verifier, on whole responses alone: for making data, where the reference may be seen.

    `problems` are the samples by id, each with its reference and without a response.
    """

    def __init__(
        self, verify: Callable[[Sequence[Sample]], list[Score]], problems: Mapping[str, Sample]
    ) -> None:
        self.verify, self.problems = verify, problems

    def score(self, places: Sequence[tuple[Tree, Node]]) -> Iterator[Score | None]:
        """The verdict where a response ends, also one that is cut off; None elsewhere."""
        samples = [
            replace(self.problems[tree.id], response=node.response)
            for tree, node in places
            if node.ended
        ]
        verdicts = iter(self.verify(samples))
        for _, node in places:
            yield next(verdicts) if node.ended else None


def _blind(tree: Tree, node: Node) -> Sample:
    tokens = sum(step.num_tokens for step in node.path)
    return Sample(
        tree.prompt, node.response, id=tree.id, num_tokens=tokens, truncated=node.truncated
    )
