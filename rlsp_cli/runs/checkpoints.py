"""Folders of checkpoints, `NAME-N` for N steps: which of them is the newest that a stage can go on from."""

from collections.abc import Callable
from pathlib import Path


def numbered(folder: Path, prefix: str) -> dict[int, Path]:
    """The folders `<prefix>N` in a folder by their number; others are left out."""
    found = {}
    for path in folder.glob(f"{prefix}*"):
        number = path.name.removeprefix(prefix)
        if number.isdigit():
            found[int(number)] = path
    return found


def newest_whole(folder: Path, prefix: str, is_whole: Callable[[Path], bool]) -> Path | None:
    """The one with the highest number that is whole: a crash leaves half-written ones behind."""
    by_number = numbered(folder, prefix)
    for number in sorted(by_number, reverse=True):
        if is_whole(by_number[number]):
            return by_number[number]
    return None
