"""The arithmetic of one optimiser step: batch = micro batch x accumulation steps x processes."""

from rlsp_cli.backends.axolotl.launcher import processes_per_node
from rlsp_cli.recipe.issue import Issue
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.recipe.sft import Sft


def world_size(recipe: Recipe) -> int:
    """Processes that train: one for each GPU, or one for each machine without any."""
    return recipe.cluster.nodes * processes_per_node(recipe.cluster)


def accumulation_steps(recipe: Recipe, sft: Sft) -> int:
    """Forward passes of a process in an optimiser step; exact once `batch_problem` found nothing."""
    return sft.batch // (sft.micro_batch * world_size(recipe))


def batch_problem(recipe: Recipe, sft: Sft) -> Issue | None:
    """What is wrong with a batch that is not whole micro-batches, with the three nearest that are.

    Axolotl would round: it takes micro-batches and accumulation steps, and never the batch itself.
    """
    world = world_size(recipe)
    if sft.batch % (sft.micro_batch * world) == 0:
        return None

    processes = f"{world} process{'es' * (world > 1)}"
    message = f"batch {sft.batch} is no multiple of micro_batch {sft.micro_batch} x {processes}"
    nearest = ", ".join(map(str, _nearest_multiples(sft.micro_batch * world, sft.batch)))
    hint = f"the nearest batches are {nearest}"
    smaller = _smaller_micro_batch(sft, world)
    if smaller is not None:
        hint += f"; or set sft.micro_batch to {smaller}"
    return Issue("sft.batch", message, hint)


def _nearest_multiples(unit: int, wanted: int, count: int = 3) -> list[int]:
    """The `count` multiples of `unit` next to `wanted`, in ascending order."""
    multiples = range(unit, wanted + count * unit, unit)
    return sorted(sorted(multiples, key=lambda size: (abs(size - wanted), size))[:count])


def _smaller_micro_batch(sft: Sft, world: int) -> int | None:
    """The largest micro-batch, up to the recipe's, that the batch is made of."""
    for size in range(sft.micro_batch, 0, -1):
        if sft.batch % (size * world) == 0:
            return size
    return None
