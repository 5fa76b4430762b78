"""An ablation in its folder: the runs that it consists of, and a manifest of what is varied."""

import json
import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlsp_cli.ablate.arm import Arm
from rlsp_cli.ablate.design import Design
from rlsp_cli.ablate.paths import AblationPaths
from rlsp_cli.errors import UsageError
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.runs.clock import now
from rlsp_cli.runs.paths import RunPaths
from rlsp_cli.runs.run import RUNS, Run, changed_keys, free_folder, open_run, write_run
from rlsp_cli.runs.stream import write_json

_NOT_READ_BY_SFT = {"name", "description", "reward", "ppo"}


@dataclass(frozen=True)
class ArmRun:
    """The run of an arm from a seed; `sft_of` is the run whose SFT model it starts from, if any."""

    arm: str
    seed: int
    run: Run
    log: Path
    sft_of: "ArmRun | None" = None

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"{self.arm}, seed {self.seed}"

    @property
    def is_done(self) -> bool:
        """Whether all of its stages are done."""
        return self.run.status().state == "done"

    @property
    def has_sft(self) -> bool:
        """Whether its SFT is done, by itself or by another run."""
        return self.run.status().stages.get("sft") == "done"


@dataclass(frozen=True)
class Ablation:
    """A design in a folder, with one run for each arm and seed."""

    paths: AblationPaths
    design: Design

    @property
    def runs(self) -> list[ArmRun]:
        """Seed by seed, so that early results can be compared."""
        found: dict[tuple[str, int], ArmRun] = {}
        sources = sft_sources(self.design.arms)
        for seed in self.design.seeds:
            for arm in self.design.arms:
                run = Run(RunPaths(self.paths.run(arm.name, seed)), arm.recipes[seed])
                source = found.get((sources.get(arm.name, ""), seed))
                log = self.paths.log(arm.name, seed)
                found[arm.name, seed] = ArmRun(arm.name, seed, run, log, source)
        return list(found.values())

    def write(self) -> None:
        """Write the manifest, and a run folder for each run that has none.

        UsageError when a folder has the run of another recipe.
        """
        for one in self.runs:
            _write_run(one.run, self.design.grid.path)
        write_json(self.paths.manifest, {"schema": "rlsp.ablation/1", "data": self.to_json()})

    def to_json(self) -> dict[str, Any]:
        """Plain data of the manifest."""
        sources = sft_sources(self.design.arms)
        return {
            "updated": now(),
            "recipe": str(self.design.grid.path.absolute()),
            "overrides": list(self.design.grid.overrides),
            "over": {factor.key: list(factor.values) for factor in self.design.grid.factors},
            "seeds": list(self.design.seeds),
            "baseline": self.design.baseline,
            "arms": {
                arm.name: {"overrides": list(arm.overrides), "sft_of": sources.get(arm.name)}
                for arm in self.design.arms
            },
        }


def sft_sources(arms: Sequence[Arm]) -> dict[str, str]:
    """For each arm whose SFT would repeat that of an earlier arm: the earlier arm.

    Two arms have the same SFT if their recipes differ only in what SFT does not read: rewards, and
    PPO but for its hints, whose words the vocabulary of a model from scratch has.
    """
    alike: dict[str, list[str]] = defaultdict(list)
    for arm in arms:
        if arm.recipe.sft is not None:
            alike[_read_by_sft(arm.recipe)].append(arm.name)
    return {other: first for first, *others in alike.values() for other in others}


def take_sft(one: ArmRun) -> None:
    """Link the SFT stage of the run that it is taken from, and note that it is done."""
    assert one.sft_of, "a run that takes its SFT from another"
    place = one.run.paths.stage("sft").root
    if not place.exists():
        source = one.sft_of.run.paths.stage("sft").root
        place.symlink_to(os.path.relpath(source, place.parent), target_is_directory=True)
    if place.is_symlink():
        one.run.update(stages={"sft": "done"})


def _read_by_sft(recipe: Recipe) -> str:
    data = recipe.model_dump(mode="json", exclude=_NOT_READ_BY_SFT)
    hints = recipe.ppo.hints.model_dump(mode="json") if recipe.ppo and recipe.ppo.hints else None
    return json.dumps([data, hints], sort_keys=True)


def _write_run(run: Run, source: Path) -> None:
    if not run.paths.resolved.exists():
        write_run(run.recipe, source, run.paths.root)
        return

    changed = changed_keys(open_run(run.paths.root), run.recipe)
    if changed:
        raise UsageError(
            f"{run.paths.root}: this run was started with another recipe; undo the change, or "
            "start a new ablation:\n  " + "\n  ".join(changed)
        )


def new_paths(name: str, out: Path | None) -> AblationPaths:
    """The folder of a new ablation: `out`, or a new runs/ablate-NAME/TIME; UsageError when used."""
    return AblationPaths(free_folder(f"ablate-{name}", out))


def paths_to_resume(name: str, out: Path | None) -> AblationPaths:
    """The ablation in `out`, or the newest of the recipe's name in ./runs; UsageError if there is none."""
    found = [path.parent for path in (RUNS / f"ablate-{name}").glob("*/ablation.json")]
    root = out or max(found, default=RUNS / f"ablate-{name}")
    paths = AblationPaths(root.absolute())
    if not paths.manifest.exists():
        raise UsageError(
            f"{root}: no ablation here (no ablation.json); leave out --resume to begin"
        )
    return paths
