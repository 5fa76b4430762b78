"""What a recipe will do before it does it: counts, GPUs, and estimates of memory and time."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rlsp_cli.backends import backend_of
from rlsp_cli.backends.local.backend import process_env
from rlsp_cli.backends.local.calibration import Load, Speed, calibrate
from rlsp_cli.backends.model_shape import ModelShape, model_shape
from rlsp_cli.backends.openrlhf.placement import roles, total_gpus
from rlsp_cli.errors import NotReadyError
from rlsp_cli.plan.asked_models import AskedModel, asked_models
from rlsp_cli.plan.counts import Counts, count_stages
from rlsp_cli.plan.embedded import Embedded, embedded_memory
from rlsp_cli.plan.embedded_time import EmbeddedTime, embedded_time, load_of
from rlsp_cli.plan.estimate import GIB, Estimate, estimate_ppo, estimate_sft
from rlsp_cli.plan.gpu import GPUS
from rlsp_cli.plan.schedules import Course, courses
from rlsp_cli.plan.texts import Texts
from rlsp_cli.recipe.schema import Recipe

__all__ = [
    "GIB",
    "GPUS",
    "AskedModel",
    "Bundles",
    "Counts",
    "Course",
    "Embedded",
    "EmbeddedTime",
    "Estimate",
    "Plan",
    "calibrate",
    "headline",
    "make_plan",
]


_ESTIMATED = ("axolotl", "openrlhf")
"""Backends whose memory and time on GPUs there are formulas for."""

_LONGEST = Texts(0, math.inf)
"""Texts as long as the limits of a recipe."""

Measure = Callable[[Load, Mapping[str, str]], Speed]
"""Measures this machine, with more in its environment; NotReadyError when it cannot."""


@dataclass(frozen=True)
class Bundles:
    """GPUs that Ray must have free at once, for each set of models, and the GPUs of `cluster`.

    Each GPU comes with one CPU.
    """

    wanted: tuple[tuple[str, int], ...]
    available: int


@dataclass(frozen=True)
class Plan:
    """What is known of a recipe before it runs; `notes` say what is not."""

    counts: tuple[Counts, ...]
    bundles: Bundles | None
    estimates: tuple[Estimate, ...]
    notes: tuple[str, ...]
    embedded: tuple[Embedded, ...] = ()
    times: tuple[EmbeddedTime, ...] = ()
    schedules: tuple[Course, ...] = ()
    models: tuple[AskedModel, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The same as data."""
        embedded = [{"estimate": True, **asdict(one), "total": one.total} for one in self.embedded]
        return {
            "counts": [asdict(count) for count in self.counts],
            "bundles": asdict(self.bundles) if self.bundles else None,
            "estimates": [estimate.to_json() for estimate in self.estimates],
            "embedded": embedded,
            "times": [
                {"estimate": True, **asdict(one), "step": one.step, "total": one.total}
                for one in self.times
            ],
            "schedules": [asdict(course) for course in self.schedules],
            "models": [{"estimate": True, **asdict(one)} for one in self.models],
            "notes": list(self.notes),
        }

    @property
    def unreadable(self) -> list[str]:
        """Why data on this machine cannot be read."""
        wrong = [counts for counts in self.counts if counts.unreadable]
        return [f"{counts.stage}: {counts.unreadable}" for counts in wrong]


def make_plan(recipe: Recipe, gpu: str = "h100", measure: Measure | None = None) -> Plan:
    """The plan of a recipe that its backends accept; `gpu` is a name in GPUS.

    Without `measure` the embedded engine's time is not estimated.
    """
    counted = list(count_stages(recipe))
    estimates, not_estimated = _estimates(recipe, gpu, counted)
    embedded, times, not_known = _embedded(recipe, counted, measure)

    stages = [counts for counts, _ in counted]
    notes = [f"{counts.stage}: {note}" for counts in stages for note in counts.notes]

    return Plan(
        counts=tuple(stages),
        bundles=_bundles(recipe),
        estimates=tuple(estimates),
        notes=(*notes, *not_estimated, *not_known),
        embedded=tuple(embedded),
        times=tuple(times),
        schedules=tuple(_schedules(recipe, counted)),
        models=tuple(asked_models(recipe, stages)),
    )


def headline(recipe: Recipe, stage: str) -> str | None:
    """The plan of a stage that runs at scale on one line; None for the local engine."""
    # The local engine's own progress says the same, and its data is small.
    if backend_of(recipe, stage).name == "local":
        return None

    counts = next(counts for counts, _ in count_stages(recipe) if counts.stage == stage)
    named = {
        "rollouts": counts.rollouts,
        "responses": counts.responses,
        "optimiser steps": counts.optimizer_steps,
        "tokens at most": counts.tokens,
    }
    known = ", ".join(f"{number:,} {name}" for name, number in named.items() if number is not None)
    return f"planned: {known or 'as much as the data has'}; `rlsp plan` estimates memory and hours"


def _schedules(recipe: Recipe, counted: list[tuple[Counts, Texts | None]]) -> Iterator[Course]:
    """The courses of schedules, where the number of steps is known."""
    for counts, texts in counted:
        if counts.stage == "ppo" and counts.rollouts and texts is not None:
            yield from courses(recipe, counts.rollouts)


def _bundles(recipe: Recipe) -> Bundles | None:
    """What PPO on Ray reserves; None where nothing of the recipe runs there."""
    ppo, cluster = recipe.ppo, recipe.cluster
    if ppo is None or ppo.backend != "openrlhf":
        return None
    return Bundles(roles(ppo, cluster).placement_groups, total_gpus(ppo, cluster))


def _embedded(
    recipe: Recipe, counted: list[tuple[Counts, Texts | None]], measure: Measure | None
) -> tuple[list[Embedded], list[EmbeddedTime], list[str]]:
    """Memory and time of the stages that train in the embedded engine, and notes on what is unknown."""
    stages = [(counts, texts) for counts, texts in counted if _trains_here(counts)]
    if not stages:
        return [], [], []

    shape = model_shape(recipe.model)
    if shape is None:
        size = f"the size of {recipe.model.path} is unknown"
        return [], [], [f"{size}: no estimate of memory and time (docs/plan.md)"]

    memory: list[Embedded | None] = []
    times: list[EmbeddedTime] = []
    notes = []
    for counts, texts in stages:
        if texts is None:
            memory.append(embedded_memory(recipe, counts.stage, shape, _LONGEST))
            notes.append(
                f"{counts.stage}: without its data, memory is that of the longest texts which the recipe allows, and "
                "time is not estimated"
            )
            continue
        speed = _speed(recipe, counts.stage, shape, texts, measure)
        if isinstance(speed, Speed):
            memory.append(embedded_memory(recipe, counts.stage, shape, texts, speed.bfloat16))
            settings = recipe.sft if counts.stage == "sft" else recipe.ppo
            assert settings, "a stage that trains"
            times.append(embedded_time(settings, shape, counts, texts, speed))
        else:
            memory.append(embedded_memory(recipe, counts.stage, shape, texts))
            notes.append(f"{counts.stage}: time is not estimated: {speed}")
    return [one for one in memory if one], times, notes


def _speed(
    recipe: Recipe, stage: str, shape: ModelShape, texts: Texts, measure: Measure | None
) -> Speed | str:
    """The speed of this machine, or the reason why it is not known."""
    if measure is None:
        return "nothing was measured"
    if recipe.cluster.launcher == "slurm":
        return "the job runs on another machine; plan it there, with cluster.launcher=local"
    if stage == "ppo" and recipe.ppo and recipe.ppo.sampler == "vllm":
        return "vLLM is not measured"
    try:
        return measure(load_of(recipe, stage, shape, texts), process_env(recipe))
    except NotReadyError as error:
        return str(error)


def _trains_here(counts: Counts) -> bool:
    return counts.backend == "local" and counts.stage in ("sft", "ppo")


def _estimates(
    recipe: Recipe, gpu: str, counted: list[tuple[Counts, Texts | None]]
) -> tuple[list[Estimate], list[str]]:
    """Estimates of the stages that run at scale, and notes on why there are none."""
    at_scale = [(counts, texts) for counts, texts in counted if counts.backend in _ESTIMATED]
    if not at_scale:
        return [], []
    if not recipe.cluster.gpus_per_node:
        return [], ["memory and time are estimated on GPUs only"]

    shape = model_shape(recipe.model)
    if shape is None:
        size = f"the size of {recipe.model.path} is unknown"
        return [], [f"{size}: no estimate of memory and time (docs/plan.md)"]

    found: list[Estimate | None] = []
    for counts, texts in at_scale:
        if recipe.ppo and counts.stage == "ppo":
            found.append(estimate_ppo(recipe, recipe.ppo, shape, GPUS[gpu], counts, texts))
        else:
            found.append(estimate_sft(recipe, shape, GPUS[gpu], counts, texts))
    return [estimate for estimate in found if estimate], []
