"""The source of a plugin: its file, and the modules that it imports from outside of packages."""

import ast
import hashlib
import importlib.util
import sysconfig
from collections.abc import Iterator
from pathlib import Path

_OURS = Path(__file__).parents[1]
_INSTALLED = ("site-packages", "dist-packages")
_STANDARD = Path(sysconfig.get_path("stdlib"))


def source_digest(file: Path) -> str:
    """SHA-256 of the file, or of the digests of all files where it imports others of the user's."""
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in source_files(file)]
    if len(digests) == 1:
        return digests[0]  # what sha256sum prints
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def reads_field(file: Path, name: str) -> bool:
    """Whether the file, or another of the user's that it imports, reads a field of this name."""
    for path in source_files(file):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Attribute) and node.attr == name:
                return True
    return False


def source_files(file: Path) -> list[Path]:
    """A plugin's file, then others of the user's that it imports, in the order of their paths."""
    found, waiting = {file}, [file]
    while waiting:
        new = set(_imported(waiting.pop())) - found
        found |= new
        waiting += new

    # By path, so that the digest does not depend on the order of a set.
    return [file, *sorted(found - {file})]


def _imported(file: Path) -> Iterator[Path]:
    """Files that a file may import; it is parsed, so imports within functions count too."""
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _of_module(alias.name)
        elif isinstance(node, ast.ImportFrom) and node.level:
            # A relative import: any file of the package it is relative to.
            yield from file.parents[node.level - 1].rglob("*.py")
        elif isinstance(node, ast.ImportFrom):
            yield from _of_module(node.module or "")


def _of_module(name: str) -> Iterator[Path]:
    """The files of a module or of its whole package; none of an installed package."""
    try:
        # Of the top-level package alone: to look for a submodule would import it.
        spec = importlib.util.find_spec(name.partition(".")[0])
    except (ImportError, ValueError):
        return
    if spec is None:
        return
    files = [] if spec.submodule_search_locations else [Path(spec.origin or "")]
    for folder in spec.submodule_search_locations or ():
        files += Path(folder).rglob("*.py")
    yield from (file for file in files if file.suffix == ".py" and _is_own(file))


def _is_own(file: Path) -> bool:
    """Whether a file is the user's: what is installed has a version, which the manifest holds."""
    return not (
        file.is_relative_to(_OURS)
        or file.is_relative_to(_STANDARD)
        or set(_INSTALLED) & set(file.parts)
    )
