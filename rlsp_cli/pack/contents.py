"""What an archive takes of a run: how it was made and what came out, without weights."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rlsp_cli import __version__
from rlsp_cli.backends import backend_of, stages_of
from rlsp_cli.backends.environment import default_folder, find_environment
from rlsp_cli.backends.install import lock_file, read_installation
from rlsp_cli.errors import DataError, NotReadyError
from rlsp_cli.evals.behaviour import Group, behaviour_groups
from rlsp_cli.pack.fingerprint import model_fingerprint
from rlsp_cli.pack.index import BackendFact, Index, Packed
from rlsp_cli.pack.run_files import run_files
from rlsp_cli.pack.secrets import refuse_secrets
from rlsp_cli.pack.sources import changed_since, data_files, other_files, plugin_files
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.report import Report, summarise_run
from rlsp_cli.report.card import CARD, model_card
from rlsp_cli.report.page import page
from rlsp_cli.rewards.lexicon import load_lexicon
from rlsp_cli.runs.run import Run, open_run
from rlsp_cli.runs.shapes import Manifest
from rlsp_cli.runs.stream import read_json


@dataclass(frozen=True)
class Contents:
    """An archive before it is written; `notes` say what is not as it was in the run."""

    index: Index
    files: Sequence[Packed]
    notes: Sequence[str]


def contents_of(root: Path, with_data: bool = False) -> Contents:
    """Gather what an archive of a run has; the same run gives the same contents.

    CheckError if a file holds a secret; UsageError for a folder that is no run.
    """
    run = open_run(root)
    manifest = read_json(run.paths.manifest, Manifest)
    files = [*run_files(run.paths.root), *plugin_files(run.recipe), *other_files(run.recipe)]
    files += [*_report_files(run, files), *_lock_files(run.recipe)]
    files += data_files(manifest) if with_data else []

    # Several plugins may be in one file.
    unique = sorted({file.name: file for file in files}.values(), key=lambda file: file.name)
    refuse_secrets(unique)
    return Contents(_index(run.recipe, unique), unique, list(_notes(run, manifest)))


def _notes(run: Run, manifest: Mapping[str, Any]) -> Iterator[str]:
    if run.status().state != "done":
        yield "the run has not ended"
    yield from changed_since(run.recipe, manifest)


def _index(recipe: Recipe, files: Sequence[Packed]) -> Index:
    return Index(
        name=recipe.name,
        rlsp=__version__,
        model=recipe.model.path,
        fingerprint=model_fingerprint(recipe.model.path),
        backends=[_backend_fact(name, recipe) for name in _backends(recipe)],
        files=[file.entry for file in files],
    )


def _report_files(run: Run, files: Sequence[Packed]) -> Iterator[Packed]:
    """Report and card, made of the packed files alone: they quote no more than those do."""
    with TemporaryDirectory() as folder:
        for file in files:
            target = Path(folder) / file.name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.content)
        copy = Path(folder) / "run"
        try:
            summary = summarise_run(copy)
        except DataError as error:
            # The copy is gone when somebody reads this.
            raise DataError(str(error).replace(str(copy), str(run.paths.root))) from error

    report = replace(summary, root=summary.name, behaviour=_behaviour(run))
    yield Packed("report.html", "run", page(report, ()).encode())
    if card := _card(run, report):
        yield Packed(CARD, "run", card.encode())


def _behaviour(run: Run) -> list[Group]:
    groups = behaviour_groups(run.paths.root, load_lexicon(run.recipe.reward.lexicon))
    return [replace(group, excerpts=()) for group in groups]


def _card(run: Run, report: Report) -> str | None:
    """The card of the last stage that has left a model."""
    for stage in ("ppo", "sft"):
        if run.paths.stage(stage).final.is_dir():
            return model_card(run, report, stage)
    return None


def _backends(recipe: Recipe) -> list[str]:
    names = {backend_of(recipe, stage).name for stage in stages_of(recipe)}
    return sorted(names - {"local"})


def _backend_fact(name: str, recipe: Recipe) -> BackendFact:
    try:
        version = find_environment(name, recipe).version
    except NotReadyError:  # the run may have been made elsewhere
        version = None
    installed = read_installation(default_folder(name))
    return BackendFact(name, version, installed.lock if installed else None)


def _lock_files(recipe: Recipe) -> Iterator[Packed]:
    for name in _backends(recipe):
        installed = read_installation(default_folder(name))
        if installed is not None:
            lock = lock_file(name, installed.profile)
            yield Packed(f"locks/{name}-{lock.name}", "lock", lock.read_bytes())
