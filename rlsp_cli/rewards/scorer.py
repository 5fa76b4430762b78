"""Scoring samples as a recipe says: verifier and exploration rewards in the pool, then the mixture."""

from collections.abc import Sequence

from rlsp_cli.recipe.schema import PluginUse, Reward
from rlsp_cli.rewards.combine import combine
from rlsp_cli.rewards.pool import Pool, Use
from rlsp_cli.rewards.sample import Sample, SampleScore, Score


class Scorer:
    """The reward section of a recipe, running; a context manager. One for training and evaluation alike."""

    def __init__(self, reward: Reward, plugin_files: Sequence[str] = ()) -> None:
        self.reward = reward
        self.verifier = _use("verifier", reward.correctness, plugin_files)
        self.exploration = [_use("exploration_reward", use, plugin_files) for use in reward.exploration]
        uses = [self.verifier, *self.exploration]
        self.pool = Pool(uses, reward.workers, reward.timeout_s, reward.memory_gb)

    def score(self, samples: Sequence[Sample], alpha: float) -> list[SampleScore]:
        """All components of every sample, and their mixture with this alpha."""
        uses = [self.verifier, *self.exploration]
        flat = self.pool.map([(use, sample) for sample in samples for use in uses])
        rows = [flat[i : i + len(uses)] for i in range(0, len(flat), len(uses))]
        return [SampleScore(row[0], tuple(row[1:]), combine(row[0], row[1:], self.reward, alpha)) for row in rows]

    def verify(self, samples: Sequence[Sample]) -> list[Score]:
        """Correctness alone, for evaluation."""
        return self.pool.map([(self.verifier, sample) for sample in samples])

    def __enter__(self) -> "Scorer":
        return self

    def __exit__(self, *_: object) -> None:
        self.pool.close()


def _use(kind: str, use: PluginUse, files: Sequence[str]) -> Use:
    return Use(kind, use.use, use.options, tuple(files))
