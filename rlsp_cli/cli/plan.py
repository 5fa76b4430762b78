"""`rlsp plan`: what a recipe will do, before it does it."""

import sys
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from rlsp_cli.cli.options import Json, Overrides, RecipeArgument
from rlsp_cli.cli.output import print_json, print_table
from rlsp_cli.errors import DataError, RecipeError
from rlsp_cli.terminal import print

if TYPE_CHECKING:
    from rlsp_cli.plan import (
        AskedModel,
        Bundles,
        Counts,
        Course,
        Embedded,
        EmbeddedTime,
        Estimate,
        Plan,
    )

_COUNTS = (
    "stage",
    "backend",
    "rows",
    "rollouts",
    "responses",
    "optimiser steps",
    "critic steps",
    "tokens, at most",
)
_MEMORY = (
    "model",
    "GPUs",
    "weights",
    "gradients",
    "Adam",
    "activations, logits",
    "KV cache",
    "together",
)

_MODELS = (
    "stage",
    "model",
    "served by",
    "GPUs",
    "GiB of weights",
    "asked by",
    "responses",
    "tokens, at most",
)


# A copy of the keys of plan.GPUS, which help should not load; a test compares the two.
class GpuName(StrEnum):
    """The GPUs whose data sheets rlsp has."""

    l4 = "l4"
    l40s = "l40s"
    a100_40 = "a100-40"
    a100_80 = "a100-80"
    h100 = "h100"
    h200 = "h200"


Gpu = Annotated[
    GpuName, typer.Option(metavar="GPU", help=f"Estimate for this GPU: {', '.join(GpuName)}.")
]


def plan(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    gpu: Gpu = GpuName.h100,
    json: Json = False,
) -> None:
    """Count steps and tokens; estimate memory and time.

    The first plan of a model for the embedded engine measures this machine, some ten seconds a stage.

    Example: rlsp plan my.yaml cluster.nodes=3 --gpu a100-80
    """
    from rlsp_cli.plan import calibrate, make_plan
    from rlsp_cli.preflight import load_checked

    def say(message: str) -> None:
        print(message, file=sys.stderr)

    try:
        loaded, _ = load_checked(recipe, overrides or [])
    except RecipeError as error:
        if json:
            print_json("plan", {"ok": False, "problems": str(error).splitlines()})
        raise

    # Data that cannot be read makes some counts unknown, and the rest of the plan still stands.
    measure = partial(calibrate, say=say)
    found = make_plan(loaded, gpu.value, measure)
    if json:
        print_json("plan", {"ok": True, "problems": [], **found.to_json()})
    else:
        print_plan(found)

    if found.unreadable:
        raise DataError("\n".join(found.unreadable))


def print_plan(plan: "Plan") -> None:
    """All tables, then what is unknown."""
    _print_counts(plan.counts)
    if plan.schedules:
        _print_schedules(plan.schedules)
    if plan.embedded:
        _print_embedded(plan.embedded)
    if plan.times:
        _print_embedded_time(plan.times)
    if plan.bundles:
        _print_bundles(plan.bundles)
    if plan.models:
        _print_models(plan.models)

    for estimate in plan.estimates:
        _print_memory(estimate)
        _print_machines(estimate)
        _print_time(estimate)
    for note in plan.notes:
        print(note)


def _print_counts(counts: "tuple[Counts, ...]") -> None:
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
        rows.append((one.stage, one.backend, *map(_count, numbers)))

    print_table(_COUNTS, rows)
    print("-: none of this, or unknown")


def _count(number: int | None) -> str | None:
    return None if number is None else f"{number:,}"


def _print_schedules(schedules: "tuple[Course, ...]") -> None:
    steps = [f"step {step}" for step, _ in schedules[0].values]
    rows = []
    for course in schedules:
        values = [f"{value:.3g}" for _, value in course.values]
        numbers = (course.prompts, course.passes)
        given = ("-" if number is None else f"{number:,.3g}" for number in numbers)
        rows.append((course.key, *values, *given))

    print()
    print_table(("schedule", *steps, "prompts", "passes"), rows, title="schedules")
    if any(course.prompts is not None for course in schedules):
        print(
            "for a source of prompts: its share, its prompts in all steps, and passes over its rows"
        )


def _print_embedded(stages: "tuple[Embedded, ...]") -> None:
    from rlsp_cli.plan import GIB

    columns = ("stage", "weights, gradients, Adam", "activations, logits", "together")
    rows = []
    for one in stages:
        parts = (one.states, one.passing, one.total)
        rows.append((one.stage, *(f"{size / GIB:.2g}" for size in parts)))

    millions = stages[0].parameters / 1e6
    title = f"estimate of GiB in the embedded engine; {millions:,.3g} million parameters"
    print()
    print_table(columns, rows, title=title)
    print("libraries take 0.5 to 1 GiB on top; activations shrink with micro_batch")


def _print_embedded_time(stages: "tuple[EmbeddedTime, ...]") -> None:
    columns = ("stage", "response tokens", "sampling", "training", "a step", "minutes of all steps")
    rows = []
    for one in stages:
        minutes = _range(*(seconds / 60 for seconds in one.total)) if one.total else None
        parts = (one.response_tokens, one.sampling, one.training, one.step)
        rows.append((one.stage, *(_range(*part) for part in parts), minutes))

    print()
    print_table(columns, rows, title="estimate of seconds on this machine")
    print("rewards, start, checkpoints and evaluation come on top, and the waits of a busy machine")


def _print_bundles(bundles: "Bundles") -> None:
    total = sum(gpus for _, gpus in bundles.wanted)

    # Ray reserves a CPU with every GPU.
    wanted = [(who, gpus, gpus) for who, gpus in (*bundles.wanted, ("together", total))]
    print()
    print_table(
        ("processes", "GPUs", "CPUs"), [*wanted, ("the recipe's cluster", bundles.available, None)]
    )


def _print_models(models: "tuple[AskedModel, ...]") -> None:
    from rlsp_cli.plan import GIB

    rows = []
    for one in models:
        weights = None if one.weights is None else f"{one.weights / GIB:.2g}"
        asked = (", ".join(one.asked_by), _count(one.responses), _count(one.tokens))
        rows.append((one.stage, one.model, one.served, one.gpus, weights, *asked))

    print()
    print_table(_MODELS, rows, title="estimate of the models that plugins ask, beside the stage")
    print(
        "tokens: prompts and responses once; more where a plugin has it write, or asks of each step"
    )
    caches = {one.cache for one in models if one.cache}
    if caches:
        print(f"vLLM takes {max(caches) / GIB:.2g} GiB on each GPU for keys and values on top")


def _print_memory(estimate: "Estimate") -> None:
    from rlsp_cli.plan import GIB, GPUS

    # Only PPO has an estimate of memory.
    if estimate.memory is None or estimate.busiest is None:
        return

    rows = []
    for short, long in zip(*estimate.memory, strict=True):
        # States do not depend on how long responses are; what a pass and the cache hold does.
        same = (f"{size / GIB:.1f}" for size in (short.weights, short.gradients, short.optimizer))
        passing, cache, total = (
            _range(getattr(short, part) / GIB, getattr(long, part) / GIB)
            for part in ("passing", "cache", "total")
        )
        rows.append((short.role, short.gpus, *same, passing, cache, total))

    billions = estimate.parameters / 1e9
    title = f"{estimate.stage}: estimate of GiB on each GPU; {billions:.2f} billion parameters"
    print()
    print_table(_MEMORY, rows, title=title)

    most = _range(*(size / GIB for size in estimate.busiest))
    print(f"at once on one GPU: {most} of {GPUS[estimate.gpu].memory / GIB:.0f} GiB")


def _print_machines(estimate: "Estimate") -> None:
    """The CPU's memory of the machine that holds most, and the disk that all share."""
    from rlsp_cli.plan import GIB

    if estimate.host:
        rows = [(part.what, _range(part.low / GIB, part.high / GIB)) for part in estimate.host]
        low = sum(part.low for part in estimate.host)
        high = sum(part.high for part in estimate.host)
        rows.append(("together", _range(low / GIB, high / GIB)))

        where = "in the CPU's memory of the machine that holds most"
        print(f"\n{estimate.stage}: estimate of GiB {where}")
        print_table(("part", "GiB"), rows)

    if estimate.disk:
        disk = estimate.disk
        parts = f"{disk.kept} checkpoints of {disk.checkpoint / GIB:.3g}, and the model, twice"
        if disk.exports:
            parts += f"; models of steps {disk.exports / GIB:.3g}"
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

    # With `episodes` and data that cannot be read, the number of rollouts is unknown.
    hours = "unknown, as the rollouts are"
    if estimate.gpu_hours is not None:
        hours = _range(*estimate.gpu_hours)
    print(f"{estimate.stage}: estimate of GPU-hours: {hours}")

    for warning in estimate.warnings:
        print(f"  warning: {warning}")
    for line in estimate.assumptions:
        print(f"  assumes: {line}")


def _range(low: float, high: float) -> str:
    """`12 to 34`, or one number where both read alike; three digits, whole ones from 100."""
    texts = [f"{value:.0f}" if value >= 100 else f"{value:.3g}" for value in (low, high)]
    return texts[0] if texts[0] == texts[1] else " to ".join(texts)
