"""OpenRLHF's checkpoints: DeepSpeed's folders `_actor/global_stepN` and, with a critic, `_critic/global_stepN`."""

import re
from pathlib import Path

from rlsp_cli.backends.openrlhf.files import StageFiles
from rlsp_cli.runs.checkpoints import numbered

RESTORED = "weights, optimisers, schedules, step, data position (not: the adaptive KL coefficient, random numbers)"
"""What OpenRLHF restores."""


def newest_checkpoint(files: StageFiles) -> Path | None:
    """The newest `_actor/global_stepN` that is whole, and whose critic is there too where there is one."""
    models = [
        folder
        for folder in (files.checkpoints / "_actor", files.checkpoints / "_critic")
        if folder.is_dir()
    ]
    steps = [_whole(model) for model in models]
    common = set.intersection(*steps) if steps else set()
    return models[0] / f"global_step{max(common)}" if common else None


def checkpoint_step(checkpoint: Path) -> int:
    """Rollout steps that were done."""
    found = re.fullmatch(r"global_step(\d+)", checkpoint.name)
    assert found, f"not a checkpoint of OpenRLHF: {checkpoint}"
    return int(found[1])


def choose(files: StageFiles, checkpoint: Path) -> None:
    """Let OpenRLHF load this checkpoint: DeepSpeed takes the one that each model's file `latest` names."""
    for model in files.checkpoints.glob("_*"):
        if (model / checkpoint.name).is_dir():
            (model / "latest").write_text(checkpoint.name, encoding="utf-8")


def _whole(model: Path) -> set[int]:
    """Steps of a model's checkpoints that every process has written.

    DeepSpeed names a checkpoint in the file `latest` after all processes have: what is newer than
    that one was cut off. An older one may be half deleted, so it must have as many files as the
    others.
    """
    latest = model / "latest"
    if not latest.exists():
        return set()
    last = checkpoint_step(Path(latest.read_text(encoding="utf-8").strip()))
    tags = numbered(model, "global_step")
    found = {step: _states(tag) for step, tag in tags.items() if step <= last}
    most = max(map(len, found.values()), default=0)
    return {
        step
        for step, states in found.items()
        if states and len(states) == most and all(map(_is_zip, states))
    }


def _states(tag: Path) -> list[Path]:
    """The files of a checkpoint: the model's state, and each process' part of it and of the optimiser's."""
    return [*tag.glob("*model_states.pt"), *tag.glob("*optim_states.pt")]


def _is_zip(file: Path) -> bool:
    """torch.save writes a zip file, whose directory comes last: a half-written one has none."""
    import zipfile

    return zipfile.is_zipfile(file)
