"""The arithmetic of one optimiser step: batch = micro batch x accumulation steps x processes."""

from rlsp_cli.backends.axolotl.launcher import processes_per_node
from rlsp_cli.recipe.issue import Issue
from rlsp_cli.recipe.schema import Recipe, Sft


def world_size(recipe: Recipe) -> int:
    """Processes that train: one for each GPU, or one for each machine without any."""
    return recipe.cluster.nodes * processes_per_node(recipe.cluster)


def accumulation_steps(recipe: Recipe, sft: Sft) -> int:
    """Forward passes of one process in one optimiser step; exact, because `batch_problem` is asked first."""
    return sft.batch // (sft.micro_batch * world_size(recipe))


def batch_problem(recipe: Recipe, sft: Sft) -> Issue | None:
    """What is wrong when the batch cannot be made up exactly, with the three nearest that can."""
    world = world_size(recipe)
    unit = sft.micro_batch * world
    if sft.batch % unit == 0:
        return None
    nearest = sorted(
        range(unit, sft.batch + 3 * unit, unit), key=lambda size: (abs(size - sft.batch), size)
    )[:3]
    message = f"batch {sft.batch} is no multiple of micro_batch {sft.micro_batch} x {world} process{'es' * (world > 1)}"
    hint = f"the nearest batches are {', '.join(map(str, sorted(nearest)))}"
    micro = [m for m in range(sft.micro_batch, 0, -1) if sft.batch % (m * world) == 0]
    return Issue(
        "sft.batch", message, f"{hint}; or set sft.micro_batch to {micro[0]}" if micro else hint
    )
