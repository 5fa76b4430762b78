"""Score samples as a recipe says: the verifier, then the exploration rewards, then the mixture."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path

from rlsp_cli.recipe.plugin_use import ExplorationUse, PluginUse, ScorerUse
from rlsp_cli.recipe.reward import Reward
from rlsp_cli.rewards.cache import VerdictCache
from rlsp_cli.rewards.call import Call, Use
from rlsp_cli.rewards.group import Group
from rlsp_cli.rewards.models import NO_MODELS, Addresses
from rlsp_cli.rewards.pool import Pool
from rlsp_cli.rewards.registry import get_plugin
from rlsp_cli.rewards.sample import Outcome, Sample, SampleScore, Score
from rlsp_cli.rewards.turns import Turns


class Scorer:
    """A recipe's reward section in action, for training, evaluation and the service alike.

    A context manager: it holds the processes in which plugins run. They can ask `models`.
    """

    def __init__(
        self, reward: Reward, plugin_files: Sequence[str] = (), models: Addresses = NO_MODELS
    ) -> None:
        self.reward = reward
        self.verifier = use_of("verifier", reward.correctness, plugin_files)
        self.exploration = [use_of(use.kind, use, plugin_files) for use in reward.exploration]
        self.cache = VerdictCache(Path(reward.cache)) if reward.cache else None
        self.pool = Pool(
            [self.verifier, *self.exploration],
            reward.workers,
            reward.timeout_s,
            reward.memory_gb,
            models=models,
        )

    @property
    def deadline_s(self) -> float:
        """The longest time in seconds that any component may take for one sample."""
        uses = (self.verifier, *self.exploration)
        return max(use.timeout_s or self.reward.timeout_s for use in uses)

    def score(self, samples: Sequence[Sample], alpha: float) -> list[SampleScore]:
        """The components of every sample and their mixture; samples of one prompt are a group."""
        return [future.result() for future in self.submit(samples, [alpha] * len(samples))]

    def submit(
        self, samples: Sequence[Sample], alphas: Sequence[float]
    ) -> list["Future[SampleScore]"]:
        """As `score`, with an alpha for each sample, and without waiting for the results."""
        asked = self._ask(samples)
        futures: list[Future[SampleScore]] = [Future() for _ in samples]

        for rows in self._together(samples):
            group = Group(self.pool, self.exploration, self.reward, [samples[row] for row in rows])
            group.start(
                [asked[row] for row in rows],
                [alphas[row] for row in rows],
                [futures[row] for row in rows],
            )
        return futures

    def verify(self, samples: Sequence[Sample]) -> list[Score]:
        """Correctness alone, from the cache where it has the verdict."""
        futures = [self.pool.submit(verdict) for verdict in self._ask(samples)]
        return [future.result() for future in futures]

    def _ask(self, samples: Sequence[Sample]) -> list[Callable[[], Score]]:
        """For each sample, a function that gets its verdict from the cache or the verifier."""
        if self.cache is None:
            return [partial(self._verdict, sample, None) for sample in samples]

        # All at once, here: within the jobs each look-up would wait for the lock of the file.
        keys = [self.cache.key(self.verifier, sample) for sample in samples]
        known = self.cache.get(keys)
        asked: list[Callable[[], Score]] = []
        for key, sample in zip(keys, samples, strict=True):
            if key in known:
                asked.append(partial(known.__getitem__, key))
            else:
                asked.append(partial(self._verdict, sample, key))
        return asked

    def _verdict(self, sample: Sample, key: bytes | None) -> Score:
        if sample.turns and sample.turns.failed:
            return self._unjudged(sample.turns)
        (score,) = self.pool.run(Call(self.verifier, (sample,)))
        if self.cache is not None and key is not None:
            self.cache.put({key: score})
        return score

    def _unjudged(self, turns: Turns) -> Score:
        """The outcome of a response whose continuation broke: it says nothing of the model."""
        outcome: Outcome = "timeout" if turns.outcome == "timeout" else "error"
        return Score(self.verifier.name, outcome, reason=f"its continuation: {turns.reason}")

    def _together(self, samples: Sequence[Sample]) -> list[list[int]]:
        """Rows to score together: all of a prompt if a reward compares them, else each alone."""
        if not any(use.takes_group for use in self.exploration):
            return [[row] for row in range(len(samples))]

        groups: dict[tuple[str, str], list[int]] = {}
        for row, sample in enumerate(samples):
            groups.setdefault(sample.group, []).append(row)
        return list(groups.values())

    def close(self) -> None:
        """End the workers, and close the cache."""
        self.pool.close()
        if self.cache:
            self.cache.close()

    def __enter__(self) -> "Scorer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def use_of(kind: str, use: PluginUse | ScorerUse, files: Sequence[str]) -> Use:
    """A recipe's entry as workers are told of it; `files` are the recipe's plugins."""
    plugin = get_plugin(kind, use.use, files)
    steps = use.steps if isinstance(use, ExplorationUse | ScorerUse) else None
    return Use(
        kind,
        use.use,
        use.options,
        tuple(files),
        plugin.takes_group,
        plugin.digest,
        use.timeout_s,
        steps,
    )
