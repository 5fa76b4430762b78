"""Which problems PPO takes next."""

from collections.abc import Sequence
from typing import Protocol

from rlsp_cli.data import Problem
from rlsp_cli.engine.batch import rows_from
from rlsp_cli.errors import DataError
from rlsp_cli.recipe.schedule import Schedule, shares_at
from rlsp_cli.recipe.schema import Recipe


class Order(Protocol):
    """Rows of the problems, one after the other; `state` is what a checkpoint holds of it."""

    state: list[float]

    def take(self, count: int, step: int) -> list[int]:
        """The next rows, for a rollout step counted from 0."""
        ...


def order_of(recipe: Recipe, problems: Sequence[Problem], total_steps: int) -> Order:
    """The order that a recipe wants; DataError for a source without problems and with a weight."""
    weights = [source.weight for source in recipe.data.prompt_sources]
    if not any(isinstance(weight, Schedule) for weight in weights):
        return Shuffled(len(problems), recipe.seed)

    rows: list[list[int]] = [[] for _ in weights]
    for row, problem in enumerate(problems):
        rows[problem.source].append(row)
    return Curriculum(rows, [weight or 0.0 for weight in weights], total_steps, recipe.seed)


class Shuffled:
    """Shuffled passes over all problems; its state is how many were taken."""

    def __init__(self, problems: int, seed: int) -> None:
        self.problems, self.seed = problems, seed
        self.state: list[float] = [0]

    def take(self, count: int, step: int) -> list[int]:
        """The next rows; which step they are for makes no difference."""
        first = int(self.state[0])
        self.state = [first + count]
        return rows_from(first, self.problems, count, self.seed)


class Curriculum:
    """Problems of several sources, whose weights change over the steps.

    Each problem is from the source that is furthest behind its share of all problems so far, so the
    shares are exact over any stretch, up to one problem a source. Within a source, problems come in
    shuffled passes. The state has for each source how many were taken, then how far it is behind.
    """

    def __init__(
        self,
        rows: Sequence[Sequence[int]],
        weights: Sequence[float | Schedule],
        total_steps: int,
        seed: int,
    ) -> None:
        self.rows, self.weights = rows, weights
        self.total_steps, self.seed = total_steps, seed
        self.state: list[float] = [0] * len(rows) + [0.0] * len(rows)

        for number, (found, weight) in enumerate(zip(rows, weights, strict=True)):
            if weight and not found:
                raise DataError(
                    f"data.prompts.{number}: it has a weight and no problem to train on; "
                    "leave it out, or look for what leaves its problems out"
                )

    def take(self, count: int, step: int) -> list[int]:
        """The next rows for a step, by its weights."""
        shares = shares_at(self.weights, step, self.total_steps)
        return [self._next(shares) for _ in range(count)]

    def _next(self, shares: Sequence[float]) -> int:
        sources = len(self.rows)
        taken, behind = self.state[:sources], self.state[sources:]
        behind = [owed + share for owed, share in zip(behind, shares, strict=True)]

        # A source whose weight has become 0 gets nothing, also when it is behind.
        chosen = max(
            (number for number in range(sources) if shares[number]), key=behind.__getitem__
        )
        position = int(taken[chosen])
        taken[chosen] += 1
        behind[chosen] -= 1
        self.state = [*taken, *behind]

        rows = self.rows[chosen]
        (row,) = rows_from(position, len(rows), 1, f"{self.seed}:{chosen}")
        return rows[row]
