"""OpenRLHF's checkpoints: DeepSpeed's `_actor/global_stepN` and, with a critic, `_critic/...`."""

import re
import zipfile
from pathlib import Path

from rlsp_cli.backends.openrlhf.files import OpenRlhfFiles
from rlsp_cli.runs.checkpoints import numbered

RESTORED = (
    "weights, optimisers, schedules, step, data position "
    "(not: the adaptive KL coefficient, random numbers)"
)
"""What OpenRLHF restores from a checkpoint."""


def newest_checkpoint(files: OpenRlhfFiles) -> Path | None:
    """The newest `_actor/global_stepN` that is whole, as is its critic where there is one."""
    models = [files.checkpoints / name for name in ("_actor", "_critic")]
    models = [model for model in models if model.is_dir()]
    if not models:
        return None

    steps = set.intersection(*map(_whole_steps, models))
    return models[0] / f"global_step{max(steps)}" if steps else None


def checkpoint_step(checkpoint: Path) -> int:
    """Rollouts that were trained on at a `global_stepN`."""
    found = re.fullmatch(r"global_step(\d+)", checkpoint.name)
    assert found, f"not a checkpoint of OpenRLHF: {checkpoint}"
    return int(found[1])


def choose(files: OpenRlhfFiles, checkpoint: Path) -> None:
    """Let OpenRLHF load this checkpoint: DeepSpeed takes the one named in each model's `latest`."""
    for model in files.checkpoints.glob("_*"):
        if (model / checkpoint.name).is_dir():
            (model / "latest").write_text(checkpoint.name, encoding="utf-8")


def _whole_steps(model: Path) -> set[int]:
    """Steps of a model's checkpoints that every process has written."""
    latest = model / "latest"
    if not latest.exists():
        return set()

    # DeepSpeed names a checkpoint here after all processes have written it; a newer one was cut
    # off.
    last = checkpoint_step(Path(latest.read_text(encoding="utf-8").strip()))
    tags = numbered(model, "global_step")
    states = {step: _states(tag) for step, tag in tags.items() if step <= last}

    # An older one may be half deleted, and then has fewer files than the others.
    most = max(map(len, states.values()), default=0)
    whole = set()
    for step, files in states.items():
        if files and len(files) == most and all(map(_is_zip, files)):
            whole.add(step)
    return whole


def _states(tag: Path) -> list[Path]:
    """Files of a checkpoint: the model's state, and each process' part and optimiser."""
    return [*tag.glob("*model_states.pt"), *tag.glob("*optim_states.pt")]


def _is_zip(file: Path) -> bool:
    """torch.save writes a zip file, whose directory comes last: a half-written one has none."""
    return zipfile.is_zipfile(file)
