"""Baselines of the estimator `role`: a running mean of the rewards of each role in each game."""

from collections.abc import Sequence

from rlsp_cli.rewards.sample import Sample, SampleScore

_DECAY = 0.95
_DRAW = 0.5
"""Where a mean starts: the reward of a draw."""


class RoleBaselines:
    """b[game, seat] <- 0.95 b + 0.05 R, read before it is updated (SPIRAL, arXiv 2506.24119).

    The authors' rewards are from -1 to 1 and their means start at 0, which is 0.5 here. A role is
    the columns `game` and `seat` of a row; `means` has those seen so far.
    """

    def __init__(self) -> None:
        self.means: dict[str, float] = {}

    def take(self, samples: Sequence[Sample], scores: Sequence[SampleScore]) -> list[float]:
        """The baseline of each response, one after another; each scored one then moves its mean.

        A response without words, in a game that ended before its first turn, moves nothing.
        """
        found = []
        for sample, score in zip(samples, scores, strict=True):
            role = role_of(sample)
            mean = self.means.setdefault(role, _DRAW)
            found.append(mean)
            if score.reward is not None and sample.num_tokens:
                self.means[role] = _DECAY * mean + (1 - _DECAY) * score.reward
        return found

    def metrics(self) -> dict[str, float]:
        """The means as they are now."""
        return {f"baseline/{role}": mean for role, mean in self.means.items()}


def role_of(sample: Sample) -> str:
    """The role of a response in its game, such as nim/0."""
    return f"{sample.metadata.get('game', '')}/{sample.metadata.get('seat', '')}"
