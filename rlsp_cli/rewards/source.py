"""What a plugin is made of: its file, and the modules that it imports from outside of installed packages."""

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
    """SHA-256 of the file, or of the digests of all files where it imports modules of its own."""
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in _files(file)]
    return (
        digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()
    )


def _files(file: Path) -> list[Path]:
    """The file, then the others in the order of their paths."""
    found, waiting = {file}, [file]
    while waiting:
        new = set(_imported(waiting.pop())) - found
        found |= new
        waiting += new
    return [file, *sorted(found - {file})]


def _imported(file: Path) -> Iterator[Path]:
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _of_module(alias.name)
        elif isinstance(node, ast.ImportFrom) and node.level:
            yield from file.parents[node.level - 1].rglob("*.py")
        elif isinstance(node, ast.ImportFrom):
            yield from _of_module(node.module or "")


def _of_module(name: str) -> Iterator[Path]:
    """The files of a module, or of the whole package that it is in; none of what has a version of its own."""
    try:
        spec = importlib.util.find_spec(
            name.partition(".")[0]
        )  # of the package alone, which imports nothing
    except (ImportError, ValueError):
        return
    if spec is None:
        return
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
    files = (
        [file for folder in folders for file in folder.rglob("*.py")]
        if folders
        else [Path(spec.origin or "")]
    )
    yield from (file for file in files if file.suffix == ".py" and _is_own(file))


def _is_own(file: Path) -> bool:
    return not (
        file.is_relative_to(_OURS)
        or file.is_relative_to(_STANDARD)
        or set(_INSTALLED) & set(file.parts)
    )
