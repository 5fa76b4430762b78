"""A zip file with a run: written with equal bytes for equal content, and read as hostile.

Zip and not tar: an index is read before anything is unpacked, and there are no owners, devices or
links to refuse one by one. It is opened on every system.
"""

import json
import stat
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from rlsp_cli.errors import DataError, UsageError
from rlsp_cli.outside import read_json
from rlsp_cli.pack.index import Index, Packed, digest, read_index

_INDEX = "archive.json"
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time of a zip file; the time of packing would change the bytes."""
_LEVEL = 9
_MODE = 0o644 << 16
_MOST_FILES = 10_000
_MOST_BYTES = 4 << 30
_LONGEST_NAME = 300
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError)
"""What zipfile raises for files that are damaged, encrypted, or packed in another way."""


@dataclass(frozen=True)
class Archive:
    """An archive that was looked through: its names lead nowhere else, its index is complete."""

    path: Path
    index: Index

    def read(self, name: str) -> bytes:
        """A file's content; DataError if it is not what the index says."""
        entry = next((one for one in self.index.files if one.name == name), None)
        if entry is None:
            raise DataError(f"{self.path}: {name} is missing")

        # No more than the index says, whatever it would unpack to.
        try:
            with _opened(self.path) as file, file.open(name) as stream:
                content = stream.read(entry.size + 1)
        except _BROKEN as error:
            raise DataError(f"{self.path}: {name} is damaged: {error}; get it anew") from error
        if len(content) != entry.size or digest(content) != entry.digest:
            raise DataError(f"{self.path}: {name} is not what the index says; get it anew")
        return content

    def unpack(self, folder: Path) -> None:
        """Write all files below a new folder."""
        for entry in self.index.files:
            content, target = self.read(entry.name), folder / entry.name
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as stream:
                stream.write(content)


def write_archive(path: Path, index: Index, files: Iterable[Packed]) -> None:
    """Write a new zip file; equal arguments give equal bytes, with the same zlib.

    UsageError if the file is there already.
    """
    document = json.dumps(index.to_json(), indent=2, ensure_ascii=False) + "\n"
    contents = {_INDEX: document.encode(), **{file.name: file.content for file in files}}
    if path.exists():
        raise UsageError(f"{path}: this file is there already; choose another --out")

    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "x") as file:
        # The index first, then by name.
        for name in sorted(contents, key=lambda name: (name != _INDEX, name)):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.external_attr, entry.create_system = _MODE, 3
            file.writestr(entry, contents[name], zipfile.ZIP_DEFLATED, _LEVEL)


def open_archive(path: Path) -> Archive:
    """Look through an archive; DataError for one that is damaged, or would write elsewhere."""
    with _opened(path) as file:
        entries = file.infolist()
        for entry in entries:
            if why := _refusal(entry):
                raise DataError(f"{path}: {entry.filename!r:.80} {why}; this archive is not used")

        names = [entry.filename for entry in entries]
        if len(names) > _MOST_FILES or len(set(names)) < len(names):
            raise DataError(f"{path}: too many files, or two of one name; it is not used")
        index = _read_index(path, file)

    if sorted(names) != sorted([_INDEX, *(one.name for one in index.files)]):
        raise DataError(f"{path}: its files are not those of its index; it is not used")
    sizes = [one.size for one in index.files]
    if min(sizes, default=0) < 0 or sum(sizes) > _MOST_BYTES:
        raise DataError(f"{path}: more than {_MOST_BYTES >> 30} GiB unpacked; it is not used")
    return Archive(path, index)


def _opened(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except FileNotFoundError as error:
        raise UsageError(f"{path}: no such file") from error
    except _BROKEN as error:
        raise DataError(f"{path}: not an archive of `rlsp pack`: {error}") from error


def _refusal(entry: zipfile.ZipInfo) -> str | None:
    """Why a file of a zip is refused; None if its name stays below the folder it goes into."""
    name = entry.filename
    parts = PurePosixPath(name).parts
    plain = name.isprintable() and not set(name) & set('\\:"<>|*?') and len(name) < _LONGEST_NAME
    if not plain or not parts or name != "/".join(parts) or name.startswith("/") or ".." in parts:
        return "is a name that may lead elsewhere"
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if entry.is_dir() or kind not in (0, stat.S_IFREG):
        return "is a link, a folder or a device"
    return "is encrypted" if entry.flag_bits & 1 else None


def _read_index(path: Path, file: zipfile.ZipFile) -> Index:
    try:
        with file.open(_INDEX) as stream:
            text = stream.read(_MOST_FILES * 1000)
        return read_index(read_json(text))
    except KeyError as error:
        raise DataError(f"{path}: not an archive of `rlsp pack`: no {_INDEX}") from error
    except (*_BROKEN, ValueError) as error:
        raise DataError(f"{path}: {_INDEX}: {error}; it is not used") from error
