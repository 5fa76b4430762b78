"""Training data from several sources: a fixed mixture, of which an epoch takes every row once."""

import random
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import TypeVar

from rlsp_cli.data.problem import Problem, prompt_rows
from rlsp_cli.data.trace import Trace, trace_rows
from rlsp_cli.errors import DataError
from rlsp_cli.recipe.data import PromptSource, TraceSource
from rlsp_cli.recipe.schedule import Schedule
from rlsp_cli.recipe.schema import Recipe

Item = TypeVar("Item")


def recipe_traces(recipe: Recipe) -> Collection[Trace]:
    """The traces that SFT takes; DataError as `trace_rows` and `Mixture`."""
    sources = recipe.data.trace_sources
    parts = [trace_rows(source, recipe.plugins) for source in sources]
    return parts[0] if len(parts) == 1 else Mixture("traces", sources, parts, recipe.seed)


def recipe_problems(recipe: Recipe) -> Collection[Problem]:
    """The problems that PPO takes; DataError as `prompt_rows` and `Mixture`.

    Ids of a mixture begin with the number of their source, since sources may share ids.
    """
    sources = recipe.data.prompt_sources
    parts = [prompt_rows(source, recipe.plugins) for source in sources]
    if len(parts) == 1:
        return parts[0]

    return Mixture("prompts", sources, parts, recipe.seed, _numbered)


class Mixture(Collection[Item]):
    """Rows of several sources, in the shares that their weights give.

    Without weights it has every row, and so it does with weights that change over the steps. With
    fixed weights it is the longest mixture that has no row twice, so it ends where the first source
    does, and has the shares exactly, up to whole rows. Which rows it has of a longer source follows
    from the seed. Rows of all sources take turns, so that every stretch has the shares. It is the
    same at each pass, and large sources stay on disk.

    DataError for a source that ends before its `rows`, or has no row in the mixture.
    """

    def __init__(
        self,
        role: str,
        sources: Sequence[TraceSource | PromptSource],
        parts: Sequence[Collection[Item]],
        seed: int,
        rename: Callable[[int, Item], Item] = lambda _, item: item,
    ) -> None:
        self.role, self.sources, self.parts = role, sources, parts
        self.seed, self.rename = seed, rename
        self.counts = self._counts()

    def __len__(self) -> int:
        return sum(self.counts)

    def __contains__(self, item: object) -> bool:
        return any(item == other for other in self)

    def __iter__(self) -> Iterator[Item]:
        total, taken = len(self), [0] * len(self.parts)
        rows = [self._chosen(number) for number in range(len(self.parts))]

        for position in range(1, total + 1):
            # The source that is furthest behind its share.
            behind = [
                count * position - done * total
                for count, done in zip(self.counts, taken, strict=True)
            ]
            number = behind.index(max(behind))
            taken[number] += 1
            yield self.rename(number, next(rows[number]))

    @property
    def leaves_out_rows(self) -> bool:
        """Whether some rows of a source are not in it."""
        return self.counts != [len(part) for part in self.parts]

    def words(self) -> str:
        """How many rows of each source it has."""
        parts = []
        for source, part, count in zip(self.sources, self.parts, self.counts, strict=True):
            parts.append(f"{count} of {len(part)} from {source.source}")
        return f"{len(self)} rows: {', '.join(parts)}"

    def _counts(self) -> list[int]:
        sizes = [len(part) for part in self.parts]
        given = [source.weight for source in self.sources]
        # Weights that change decide at each step which source a row is taken from.
        if None in given or any(isinstance(weight, Schedule) for weight in given):
            return sizes

        weights = [Fraction(str(weight)) for weight in given]
        for number, (source, size) in enumerate(zip(self.sources, sizes, strict=True)):
            if source.weight and source.rows and not source.row and size < source.rows:
                raise DataError(
                    f"{self._name(number)} ends after {size} rows, expected {source.rows} (rows); "
                    "lower rows, or leave it out to take all"
                )

        counts = _shares(weights, sizes)
        for number, (weight, count) in enumerate(zip(weights, counts, strict=True)):
            if weight and not count:
                raise DataError(
                    f"{self._name(number)} has no row in a mixture of {sum(counts)} rows, "
                    "which ends with the first source; raise its weight, or set it to 0"
                )
        return counts

    def _chosen(self, number: int) -> Iterator[Item]:
        """The rows of a source that are in the mixture, in its order."""
        part, count = self.parts[number], self.counts[number]
        rng = random.Random(f"{self.seed}:{self.role}:{number}")
        chosen = set(rng.sample(range(len(part)), count))

        for row, item in enumerate(part):
            if row in chosen:
                yield item
                chosen.remove(row)

        if chosen:
            raise DataError(
                f"{self._name(number)} ended {len(chosen)} rows before the mixture did: "
                "it has changed while it was read; start again"
            )

    def _name(self, number: int) -> str:
        return f"data.{self.role}.{number}: {self.sources[number].source}"


def _shares(weights: Sequence[Fraction], sizes: Sequence[int]) -> list[int]:
    """Rows of each source in the longest mixture that needs no row twice (largest remainders)."""
    whole = sum(weights)
    longest = min(
        int(size * whole / weight) for weight, size in zip(weights, sizes, strict=True) if weight
    )
    exact = [longest * weight / whole for weight in weights]
    counts = [int(share) for share in exact]

    by_remainder = sorted(range(len(exact)), key=lambda n: counts[n] - exact[n])
    for number in by_remainder[: longest - sum(counts)]:
        counts[number] += 1
    return counts


def _numbered(number: int, problem: Problem) -> Problem:
    parent = f"{number}:{problem.parent}" if problem.parent else ""
    return replace(problem, id=f"{number}:{problem.id}", parent=parent, source=number)
