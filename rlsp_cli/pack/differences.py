"""What differs between an archive's machine and this one, found without running the archive."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rlsp_cli.backends import BACKENDS
from rlsp_cli.backends.environment import default_folder, find_environment
from rlsp_cli.backends.install import read_installation
from rlsp_cli.data import source_digest
from rlsp_cli.errors import DataError, NotReadyError
from rlsp_cli.outside import read_json
from rlsp_cli.pack.archive import Archive
from rlsp_cli.pack.fingerprint import model_fingerprint
from rlsp_cli.pack.index import BackendFact, digest
from rlsp_cli.runs.manifest import machine, versions
from rlsp_cli.runs.shapes import Manifest
from rlsp_cli.share import share

_ROLES = ("traces", "steps", "pairs", "prompts", "heldout")
_SHIPPED = "plugins/shipped/"


@dataclass(frozen=True)
class Difference:
    """A fact in the archive and here; None where there is none."""

    what: str
    there: str | None
    here: str | None

    @property
    def is_same(self) -> bool:
        """Whether both are equal."""
        return self.there == self.here


def differences(archive: Archive, recipe: Mapping[str, Any]) -> list[Difference]:
    """All facts that numbers depend on, equal ones too; `recipe` is the archive's, for here.

    Starts installed backends to ask for their versions, and nothing of the archive.
    """
    manifest = _manifest(archive)
    return [
        *_facts(manifest["versions"], versions()),
        *_backends(archive.index.backends),
        *_facts(manifest.get("machine", {}), machine()),
        *_model(archive, recipe),
        *_data(archive, manifest, recipe),
        *_shipped(archive),
    ]


def _manifest(archive: Archive) -> Mapping[str, Any]:
    try:
        document = read_json(archive.read("run/manifest.json"))
        Manifest.model_validate(document)
    except ValueError as error:
        raise DataError(f"{archive.path}: its manifest.json is damaged") from error
    return dict(document)


def _facts(there: Mapping[str, Any], here: Mapping[str, Any]) -> Iterator[Difference]:
    for name in {**there, **here}:
        yield Difference(name, _text(there.get(name)), _text(here.get(name)))


def _text(value: Any) -> str | None:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or None
    return None if value is None else str(value)


def _backends(facts: Sequence[BackendFact]) -> Iterator[Difference]:
    for fact in facts:
        if fact.name not in BACKENDS:
            continue
        # Never by the archive's recipe, which could name any program as the interpreter.
        try:
            version = find_environment(fact.name).version
        except NotReadyError:
            version = None
        installed = read_installation(default_folder(fact.name))
        yield Difference(fact.name, fact.version, version)
        yield Difference(f"{fact.name} lock", fact.lock, installed.lock if installed else None)


def _model(archive: Archive, recipe: Mapping[str, Any]) -> Iterator[Difference]:
    if archive.index.model is not None:
        section = recipe.get("model")
        path = section.get("path") if isinstance(section, dict) else None
        here = model_fingerprint(path if isinstance(path, str) else None)
        yield Difference(f"model {archive.index.model}", archive.index.fingerprint, here)


def _data(
    archive: Archive, manifest: Mapping[str, Any], recipe: Mapping[str, Any]
) -> Iterator[Difference]:
    packed = {one.was: one.digest for one in archive.index.files if one.role == "data"}
    for entry, source in zip(manifest["data"], _sources(recipe), strict=False):
        if entry["digest"] is not None:
            here = packed.get(entry["source"]) or source_digest(source)
            yield Difference(f"data {entry['role']} {source}", entry["digest"], here)


def _sources(recipe: Mapping[str, Any]) -> Iterator[str]:
    """The sources of data in the order of a manifest."""
    data = recipe.get("data")
    if not isinstance(data, dict):
        return
    for role in _ROLES:
        given = data.get(role)
        for rows in given if isinstance(given, list) else [given]:
            if isinstance(rows, dict):
                yield str(rows.get("source"))


def _shipped(archive: Archive) -> Iterator[Difference]:
    """The plugins of rlsp that the run used, beside those of the rlsp here."""
    for entry in archive.index.files:
        if entry.role == "shipped":
            file = share("plugins") / entry.name.removeprefix(_SHIPPED)
            here = digest(file.read_bytes()) if file.is_file() else None
            yield Difference(entry.name, entry.digest, here)
