"""`rlsp plan`: what a recipe will do, before it does it."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from rlsp_cli.cli.options import Json, Overrides, RecipeArgument
from rlsp_cli.cli.output import print_json, print_table
from rlsp_cli.errors import DataError, RecipeError
from rlsp_cli.terminal import print

if TYPE_CHECKING:
    from rlsp_cli.plan import Bundles, Counts, Embedded, Estimate, Plan


class GpuName(StrEnum):
    """The GPUs whose data sheets we know."""

    l4 = "l4"
    l40s = "l40s"
    a100_40 = "a100-40"
    a100_80 = "a100-80"
    h100 = "h100"
    h200 = "h200"


def plan(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    gpu: Annotated[GpuName, typer.Option(help="The GPUs that estimates are for.")] = GpuName.h100,
    json: Json = False,
) -> None:
    """Count steps and tokens; estimate memory and GPU-hours.

    Example: rlsp plan my.yaml cluster.nodes=3 --gpu a100-80
    """
    from rlsp_cli.plan import make_plan
    from rlsp_cli.preflight import load_checked

    try:
        loaded, _ = load_checked(recipe, overrides or [])
    except RecipeError as error:
        if json:
            print_json("plan", {"ok": False, "problems": str(error).splitlines()})
        raise
    found = make_plan(loaded, gpu.value)
    if json:
        print_json("plan", {"ok": True, "problems": [], **found.to_json()})
    else:
        print_plan(found)
    if found.unreadable:
        raise DataError("\n".join(found.unreadable))


def print_plan(plan: "Plan") -> None:
    """All tables, then what is unknown."""
    _print_counts(plan.counts)
    if plan.embedded:
        _print_embedded(plan.embedded)
    if plan.bundles:
        _print_bundles(plan.bundles)
    for estimate in plan.estimates:
        _print_memory(estimate)
        _print_machines(estimate)
        _print_time(estimate)
    for note in plan.notes:
        print(note)


def _print_counts(counts: "tuple[Counts, ...]") -> None:
    columns = (
        "stage",
        "backend",
        "rows",
        "rollouts",
        "responses",
        "optimiser steps",
        "critic steps",
        "tokens, at most",
    )
    rows = []
    for one in counts:
        numbers = (
            one.rows,
            one.rollouts,
            one.responses,
            one.optimizer_steps,
            one.critic_steps,
            one.tokens,
        )
        rows.append(
            (
                one.stage,
                one.backend,
                *(None if number is None else f"{number:,}" for number in numbers),
            )
        )
    print_table(columns, rows)
    print("-: none of this, or unknown")


def _print_embedded(stages: "tuple[Embedded, ...]") -> None:
    from rlsp_cli.plan import GIB

    columns = ("stage", "weights, gradients, Adam", "activations, logits", "together")
    rows = [
        (one.stage, *(f"{size / GIB:.2g}" for size in (one.states, one.passing, one.total)))
        for one in stages
    ]
    title = f"estimate of GiB in the embedded engine; {stages[0].parameters / 1e6:,.3g} million parameters, in float32"
    print()
    print_table(columns, rows, title=title)
    print("libraries take 0.5 to 1 GiB on top; activations shrink with micro_batch")


def _print_bundles(bundles: "Bundles") -> None:
    total = sum(gpus for _, gpus in bundles.wanted)
    wanted = [(who, gpus, gpus) for who, gpus in (*bundles.wanted, ("together", total))]
    print()
    print_table(
        ("processes", "GPUs", "CPUs"), [*wanted, ("the recipe's cluster", bundles.available, None)]
    )


def _print_memory(estimate: "Estimate") -> None:
    from rlsp_cli.plan import GIB, GPUS

    if estimate.memory is None or estimate.busiest is None:
        return
    columns = (
        "model",
        "GPUs",
        "weights",
        "gradients",
        "Adam",
        "activations, logits",
        "KV cache",
        "together",
    )
    rows = []
    for short, long in zip(*estimate.memory, strict=True):
        same = (f"{size / GIB:.1f}" for size in (short.weights, short.gradients, short.optimizer))
        passing, cache, total = (
            _range(getattr(short, part) / GIB, getattr(long, part) / GIB)
            for part in ("passing", "cache", "total")
        )
        rows.append((short.role, short.gpus, *same, passing, cache, total))
    print()
    title = f"{estimate.stage}: estimate of GiB on each GPU; {estimate.parameters / 1e9:.2f} billion parameters"
    print_table(columns, rows, title=title)
    most = _range(*(size / GIB for size in estimate.busiest))
    print(f"at once on one GPU: {most} of {GPUS[estimate.gpu].memory / GIB:.0f} GiB")


def _print_machines(estimate: "Estimate") -> None:
    """The CPU's memory of the machine that holds most, and the disk that all share."""
    from rlsp_cli.plan import GIB

    if estimate.host:
        together = (
            sum(part.low for part in estimate.host),
            sum(part.high for part in estimate.host),
        )
        rows = [(part.what, _range(part.low / GIB, part.high / GIB)) for part in estimate.host]
        print(
            f"\n{estimate.stage}: estimate of GiB in the CPU's memory of the machine that holds most"
        )
        print_table(
            ("part", "GiB"), [*rows, ("together", _range(*(size / GIB for size in together)))]
        )
    if estimate.disk:
        disk = estimate.disk
        parts = f"{disk.kept} checkpoints of {disk.checkpoint / GIB:.3g}, and the model, twice"
        parts += f"; models of steps {disk.exports / GIB:.3g}" if disk.exports else ""
        print(f"on disk at the end: {disk.total / GIB:.3g} GiB: {parts}")


def _print_time(estimate: "Estimate") -> None:
    print()
    if estimate.step:
        good, poor = estimate.step
        parts = [
            f"{part} {_range(getattr(good, part), getattr(poor, part))}"
            for part in ("generate", "forward", "train")
        ]
        print(f"{estimate.stage}: estimate of seconds for each rollout: {', '.join(parts)}")
    hours = (
        "unknown, as the rollouts are"
        if estimate.gpu_hours is None
        else _range(*estimate.gpu_hours)
    )
    print(f"{estimate.stage}: estimate of GPU-hours: {hours}")
    for warning in estimate.warnings:
        print(f"  warning: {warning}")
    for line in estimate.assumptions:
        print(f"  assumes: {line}")


def _range(low: float, high: float) -> str:
    texts = [f"{value:.0f}" if value >= 100 else f"{value:.3g}" for value in (low, high)]
    return texts[0] if texts[0] == texts[1] else " to ".join(texts)
