"""Scoring samples as a recipe says: the verifier, then the exploration rewards, then the mixture."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rlsp_cli.recipe.schema import PluginUse, Reward
from rlsp_cli.rewards.cache import VerdictCache
from rlsp_cli.rewards.combine import combine
from rlsp_cli.rewards.pool import Pool
from rlsp_cli.rewards.process import Call, Use
from rlsp_cli.rewards.registry import Registry
from rlsp_cli.rewards.sample import Sample, SampleScore, Score


class Scorer:
    """The reward section of a recipe, running; a context manager. One for training, evaluation and the service."""

    def __init__(self, reward: Reward, plugin_files: Sequence[str] = ()) -> None:
        self.reward = reward
        self.verifier = _use("verifier", reward.correctness, plugin_files)
        self.exploration = [_use("exploration_reward", use, plugin_files) for use in reward.exploration]
        self.cache = VerdictCache(Path(reward.cache)) if reward.cache else None
        self.pool = Pool([self.verifier, *self.exploration], reward.workers, reward.timeout_s, reward.memory_gb)

    @property
    def deadline_s(self) -> float:
        """The longest that one component may take for one sample."""
        return max(use.timeout_s or self.reward.timeout_s for use in (self.verifier, *self.exploration))

    def score(self, samples: Sequence[Sample], alpha: float) -> list[SampleScore]:
        """All components of every sample, and their mixture with this alpha; samples of one prompt are a group."""
        verdicts = self.verify(samples)
        judged = [replace(s, correct=v.value, answer=v.answer) for s, v in zip(samples, verdicts, strict=True)]
        columns = self._explore(judged)
        return [combine(v, row, self.reward, alpha) for v, *row in zip(verdicts, *columns, strict=True)]

    def verify(self, samples: Sequence[Sample]) -> list[Score]:
        """Correctness alone; verdicts that the cache has are not asked for again."""
        keys = [self.cache.key(self.verifier, sample) for sample in samples] if self.cache else []
        known = self.cache.get(keys) if self.cache else {}
        missing = [i for i in range(len(samples)) if not keys or keys[i] not in known]
        fresh = dict(zip(missing, self.pool.map([Call(self.verifier, (samples[i],)) for i in missing]), strict=True))
        if self.cache:
            self.cache.put({keys[i]: score for i, (score,) in fresh.items()})
        return [fresh[i][0] if i in fresh else known[keys[i]] for i in range(len(samples))]

    def _explore(self, samples: Sequence[Sample]) -> list[list[Score]]:
        """A column of scores for each exploration reward, all asked for at once."""
        parts = [(n, rows) for n, use in enumerate(self.exploration) for rows in _rows(use, samples)]
        calls = [Call(self.exploration[n], tuple(samples[row] for row in rows)) for n, rows in parts]
        columns: list[dict[int, Score]] = [{} for _ in self.exploration]
        for (n, rows), scores in zip(parts, self.pool.map(calls), strict=True):
            columns[n].update(zip(rows, scores, strict=True))
        return [[column[row] for row in range(len(samples))] for column in columns]

    def close(self) -> None:
        """End the pool's processes."""
        self.pool.close()
        if self.cache:
            self.cache.close()

    def __enter__(self) -> "Scorer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _rows(use: Use, samples: Sequence[Sample]) -> list[list[int]]:
    """The rows of each call: one by one, or those of one prompt together for rewards that take a group."""
    if not use.takes_group:
        return [[row] for row in range(len(samples))]
    groups: dict[tuple[str, str], list[int]] = {}
    for row, sample in enumerate(samples):
        groups.setdefault(sample.group, []).append(row)
    return list(groups.values())


def _use(kind: str, use: PluginUse, files: Sequence[str]) -> Use:
    plugin = Registry().get(kind, use.use, files)
    return Use(kind, use.use, use.options, tuple(files), plugin.takes_group, plugin.digest, use.timeout_s)
