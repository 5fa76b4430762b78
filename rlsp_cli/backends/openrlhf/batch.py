"""The arithmetic of a rollout and its optimiser steps: every process must get the same number of whole micro-batches.

OpenRLHF cuts a rollout into micro-batches and deals them out to the data-parallel ranks of each
model. Where they do not come out even, some rank has less to do than the others, which wait for it
for ever.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import gcd, lcm

from rlsp_cli.backends.model_shape import model_shape
from rlsp_cli.backends.openrlhf.placement import Roles, roles
from rlsp_cli.recipe.issue import Issue
from rlsp_cli.recipe.schema import Ppo, Recipe


@dataclass(frozen=True)
class _Batches:
    """Sizes in responses; the ranks are what divides evenly among the data-parallel processes of every model."""

    ppo: Ppo
    rollout_ranks: int
    train_ranks: int

    @property
    def responses(self) -> int:
        return self.ppo.responses

    @property
    def micro_rollout(self) -> int:
        return self.ppo.openrlhf.micro_rollout_batch or self.ppo.micro_batch

    @property
    def rollout_unit(self) -> int:
        return self.micro_rollout * self.rollout_ranks

    @property
    def train_unit(self) -> int:
        return self.ppo.micro_batch * self.train_ranks

    @property
    def train_batch(self) -> int:
        """The recipe's train batch, or the nearest that is made of whole micro-batches."""
        return min(
            _multiples(self.train_unit, self.ppo.train_batch),
            key=lambda size: abs(size - self.ppo.train_batch),
        )

    @property
    def nearest_rollouts(self) -> str:
        """Prompts of the nearest rollouts of whole micro-batches and whole train batches."""
        step = lcm(self.rollout_unit, self.train_batch)
        prompts = step // gcd(step, self.ppo.samples_per_prompt)
        return _listed(_multiples(prompts, self.ppo.rollout_batch))

    @property
    def nearest_train_batches(self) -> str:
        """The nearest that divide the rollout, which is made of whole micro-batches."""
        counts = _divisors(self.responses // self.train_unit)
        return _listed(_around(self.ppo.train_batch, [self.train_unit * count for count in counts]))

    @property
    def trains_evenly(self) -> bool:
        """Whether the rollout is whole train batches, and these are whole micro-batches."""
        return (
            self.ppo.train_batch % self.train_unit == 0
            and self.responses % self.ppo.train_batch == 0
        )


def batch_problems(recipe: Recipe, ppo: Ppo) -> Iterator[Issue]:
    """What does not come out even, each with the nearest values that do."""
    found = roles(ppo, recipe.cluster)
    ring = _ring_problem(ppo, found)
    yield from filter(None, [ring, _heads_problem(recipe, found)])
    if ring is None:
        batches = _Batches(ppo, _ranks(ppo, found, found.reference), _ranks(ppo, found))
        rollout = _rollout_problem(batches)
        yield from filter(None, [rollout, _train_problem(batches, rollout is not None)])


def _ranks(ppo: Ppo, found: Roles, reference: int = 0) -> int:
    """The least common multiple of the data-parallel processes of actor, critic and, where it counts, reference."""
    return lcm(
        *(
            gpus // ppo.openrlhf.ring_attention
            for gpus in (found.actor, found.critic, reference)
            if gpus
        )
    )


def _rollout_problem(batches: _Batches) -> Issue | None:
    if batches.responses % batches.rollout_unit == 0:
        return None
    key = "micro_rollout_batch" if batches.ppo.openrlhf.micro_rollout_batch else "micro_batch"
    message = (
        f"{batches.responses} responses of a rollout are no multiple of {key} {batches.micro_rollout} "
        f"x {_processes(batches.rollout_ranks)}"
    )
    micro = _smaller(batches.micro_rollout, batches.responses, batches.rollout_ranks)
    also = (
        f"; or set ppo.openrlhf.micro_rollout_batch to {micro}"
        if micro and batches.trains_evenly
        else ""
    )
    return Issue(
        "ppo.rollout_batch", message, f"the nearest rollout_batch: {batches.nearest_rollouts}{also}"
    )


def _train_problem(batches: _Batches, rollout_changes: bool) -> Issue | None:
    """What is wrong with the train batch; a rollout that must change anyhow will be a multiple of the nearest one."""
    size, unit = batches.ppo.train_batch, batches.train_unit
    whole = size % unit == 0
    if batches.trains_evenly or (rollout_changes and whole):
        return None
    message = f"train_batch {size} does not divide the {batches.responses} responses of a rollout"
    if not whole:
        micro = f"micro_batch {batches.ppo.micro_batch} x {_processes(batches.train_ranks)}"
        message = f"train_batch {size} is no multiple of {micro}"
    return Issue("ppo.train_batch", message, _train_hint(batches, rollout_changes))


def _train_hint(batches: _Batches, rollout_changes: bool) -> str:
    """What fits the rollout; where nothing does, or it must change anyhow, what fits the nearest other rollouts."""
    if rollout_changes:
        return f"the nearest: {batches.train_batch}"
    if batches.responses % batches.train_unit == 0:
        return f"the nearest: {batches.nearest_train_batches}"
    other = batches.train_batch
    change = f"set it to {other}, and " if other != batches.ppo.train_batch else ""
    return f"{change}the nearest rollout_batch: {batches.nearest_rollouts}"


def _ring_problem(ppo: Ppo, found: Roles) -> Issue | None:
    """Every model's GPUs are whole rings."""
    counts = {"actor": found.actor, "reference": found.reference, "critic": found.critic}
    who = next(
        (model for model, gpus in counts.items() if gpus % ppo.openrlhf.ring_attention), None
    )
    if who is None:
        return None
    near = _listed(_around(ppo.openrlhf.ring_attention, _divisors(gcd(*counts.values()))))
    message = (
        f"rings of {ppo.openrlhf.ring_attention} GPUs do not fill the {counts[who]} of the {who}"
    )
    return Issue("ppo.openrlhf.ring_attention", message, f"the nearest: {near}")


def _heads_problem(recipe: Recipe, found: Roles) -> Issue | None:
    """Each GPU of an engine holds whole attention heads; a model whose configuration is not here is left to vLLM."""
    shape = model_shape(recipe.model)
    if shape is None or shape.heads % found.tensor_parallel == 0:
        return None
    message = f"tensor_parallel {found.tensor_parallel} does not divide the model's {shape.heads} attention heads"
    near = _listed(
        _around(
            found.tensor_parallel,
            _divisors(gcd(shape.heads, found.engines * found.tensor_parallel)),
        )
    )
    return Issue("ppo.openrlhf.engines.tensor_parallel", message, f"the nearest: {near}")


def _processes(ranks: int) -> str:
    return f"{ranks} data-parallel process{'es' * (ranks > 1)}"


def _smaller(micro: int, total: int, ranks: int) -> int | None:
    """The largest smaller micro-batch with which `total` comes out even."""
    return next((size for size in range(micro - 1, 0, -1) if total % (size * ranks) == 0), None)


def _divisors(number: int) -> list[int]:
    return [size for size in range(1, number + 1) if number % size == 0]


def _multiples(step: int, wanted: int) -> list[int]:
    """The multiples of `step` next to `wanted`; itself where it is one."""
    below = wanted // step * step
    return [size for size in {below, wanted if below == wanted else below + step} if size]


def _around(wanted: int, sizes: Iterable[int]) -> list[int]:
    """The nearest below and above."""
    below, above = [n for n in sizes if n < wanted], [n for n in sizes if n > wanted]
    return [*below[-1:], *above[:1]]


def _listed(sizes: Iterable[int]) -> str:
    return " or ".join(map(str, sorted(sizes)))
