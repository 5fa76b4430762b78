"""The arithmetic of a rollout: every process must get the same number of whole micro-batches.

OpenRLHF cuts a rollout into micro-batches and deals them out to the data-parallel ranks of each
model. Where they do not come out even, some rank has less to do than the others, which wait for it
for ever.

    responses of a rollout = rollout_batch x samples_per_prompt
                           = a multiple of micro_rollout_batch x ranks      (experience)
                           = a multiple of train_batch                      (optimiser steps)
    train_batch            = a multiple of micro_batch x ranks
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import gcd, lcm

from rlsp_cli.backends.model_shape import model_shape
from rlsp_cli.backends.openrlhf.placement import Roles, roles
from rlsp_cli.recipe.issue import Issue
from rlsp_cli.recipe.ppo import Ppo
from rlsp_cli.recipe.schema import Recipe


@dataclass(frozen=True)
class _Batches:
    """Sizes in responses. Ranks are those of all models at once: their least common multiple."""

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
    def trains_evenly(self) -> bool:
        """Whether the rollout is whole train batches, and these are whole micro-batches."""
        whole_micro_batches = self.ppo.train_batch % self.train_unit == 0
        return whole_micro_batches and self.responses % self.ppo.train_batch == 0

    @property
    def train_batch(self) -> int:
        """The recipe's train batch, or the nearest that is made of whole micro-batches."""
        wanted = self.ppo.train_batch
        return min(_multiples(self.train_unit, wanted), key=lambda size: abs(size - wanted))

    @property
    def nearest_rollouts(self) -> str:
        """Prompts of the nearest rollouts of whole micro-batches and whole train batches."""
        responses = lcm(self.rollout_unit, self.train_batch)
        prompts = responses // gcd(responses, self.ppo.samples_per_prompt)
        return _listed(_multiples(prompts, self.ppo.rollout_batch))

    @property
    def nearest_train_batches(self) -> str:
        """The nearest that divide the rollout, which is made of whole micro-batches."""
        counts = _divisors(self.responses // self.train_unit)
        sizes = [self.train_unit * count for count in counts]
        return _listed(_around(self.ppo.train_batch, sizes))


def batch_problems(recipe: Recipe, ppo: Ppo) -> Iterator[Issue]:
    """What does not come out even, each with the nearest values that do."""
    placed = roles(ppo, recipe.cluster)
    ring = _ring_problem(ppo, placed)
    yield from filter(None, [ring, _heads_problem(recipe, placed)])

    # Ranks are GPUs / ring: without whole rings there are no numbers to advise.
    if ring is None:
        # The reference scores rollouts beside actor and critic, and does not train.
        batches = _Batches(ppo, _ranks(ppo, placed, placed.reference), _ranks(ppo, placed))
        rollout = _rollout_problem(batches)
        train = _train_problem(batches, rollout_changes=rollout is not None)
        yield from filter(None, [rollout, train])


def _ranks(ppo: Ppo, placed: Roles, reference: int = 0) -> int:
    """The least common multiple of the data-parallel processes of actor, critic and reference.

    `reference` is its GPUs where it takes part. GPUs of one ring share a sequence, so a ring is one
    data-parallel process.
    """
    models = (placed.actor, placed.critic, reference)
    return lcm(*(gpus // ppo.openrlhf.ring_attention for gpus in models if gpus))


def _rollout_problem(batches: _Batches) -> Issue | None:
    if batches.responses % batches.rollout_unit == 0:
        return None

    key = "micro_rollout_batch" if batches.ppo.openrlhf.micro_rollout_batch else "micro_batch"
    unit = f"{key} {batches.micro_rollout} x {_processes(batches.rollout_ranks)}"
    message = f"{batches.responses} responses of a rollout are no multiple of {unit}"
    hint = f"the nearest rollout_batch: {batches.nearest_rollouts}"

    # Another micro-batch alone helps only where the train batch needs no change.
    micro = _smaller(batches.micro_rollout, batches.responses, batches.rollout_ranks)
    if micro and batches.trains_evenly:
        hint += f"; or set ppo.openrlhf.micro_rollout_batch to {micro}"
    return Issue("ppo.rollout_batch", message, hint)


def _train_problem(batches: _Batches, rollout_changes: bool) -> Issue | None:
    """What is wrong with the train batch.

    `rollout_changes` says that another issue asks for another rollout already. The rollouts that it
    advises are multiples of this train batch, if that is whole micro-batches.
    """
    size, unit = batches.ppo.train_batch, batches.train_unit
    is_whole = size % unit == 0
    if batches.trains_evenly or (rollout_changes and is_whole):
        return None

    if is_whole:
        responses = batches.responses
        message = f"train_batch {size} does not divide the {responses} responses of a rollout"
    else:
        micro = f"micro_batch {batches.ppo.micro_batch} x {_processes(batches.train_ranks)}"
        message = f"train_batch {size} is no multiple of {micro}"
    return Issue("ppo.train_batch", message, _train_hint(batches, rollout_changes))


def _train_hint(batches: _Batches, rollout_changes: bool) -> str:
    """What fits the rollout, or else the nearest rollouts that anything fits."""
    # One of the two is fixed before the other is chosen: the rollout where nothing asks to change
    # it, else the train batch, to which the advised rollouts belong.
    if rollout_changes:
        return f"the nearest: {batches.train_batch}"
    if batches.responses % batches.train_unit == 0:
        return f"the nearest: {batches.nearest_train_batches}"

    other = batches.train_batch
    change = f"set it to {other}, and " if other != batches.ppo.train_batch else ""
    return f"{change}the nearest rollout_batch: {batches.nearest_rollouts}"


def _ring_problem(ppo: Ppo, placed: Roles) -> Issue | None:
    """GPUs of a model that are not whole rings; the first such model is named."""
    ring = ppo.openrlhf.ring_attention
    models = {"actor": placed.actor, "reference": placed.reference, "critic": placed.critic}
    for name, gpus in models.items():
        if gpus % ring:
            message = f"rings of {ring} GPUs do not fill the {gpus} of the {name}"
            near = _listed(_around(ring, _divisors(gcd(*models.values()))))
            return Issue("ppo.openrlhf.ring_attention", message, f"the nearest: {near}")
    return None


def _heads_problem(recipe: Recipe, placed: Roles) -> Issue | None:
    """GPUs of an engine that do not get whole attention heads; vLLM judges an unknown model."""
    size, shape = placed.tensor_parallel, model_shape(recipe.model)
    if shape is None or shape.heads % size == 0:
        return None

    message = f"tensor_parallel {size} does not divide the model's {shape.heads} attention heads"
    fitting = _divisors(gcd(shape.heads, placed.engines * size))
    near = _listed(_around(size, fitting))
    return Issue("ppo.openrlhf.engines.tensor_parallel", message, f"the nearest: {near}")


def _processes(ranks: int) -> str:
    return f"{ranks} data-parallel process{'es' * (ranks > 1)}"


def _smaller(micro: int, total: int, ranks: int) -> int | None:
    """The largest smaller micro-batch with which `total` comes out even."""
    for size in range(micro - 1, 0, -1):
        if total % (size * ranks) == 0:
            return size
    return None


def _divisors(number: int) -> list[int]:
    return [size for size in range(1, number + 1) if number % size == 0]


def _multiples(unit: int, wanted: int) -> list[int]:
    """The multiples of `unit` below and above `wanted`, without 0; `wanted` alone if it is one."""
    below = wanted // unit * unit
    if below == wanted:
        return [wanted]
    return [size for size in (below, below + unit) if size]


def _around(wanted: int, sizes: Iterable[int]) -> list[int]:
    """Those of the ascending `sizes` that are the nearest below and above `wanted`."""
    below, above = [n for n in sizes if n < wanted], [n for n in sizes if n > wanted]
    return [*below[-1:], *above[:1]]


def _listed(sizes: Iterable[int]) -> str:
    return " or ".join(map(str, sorted(sizes)))
