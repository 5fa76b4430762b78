"""Folders of checkpoints, `NAME-N` for N steps: the newest that a stage can go on from."""

from collections.abc import Callable
from pathlib import Path


def numbered(folder: Path, prefix: str) -> dict[int, Path]:
    """The folders `<prefix>N` in a folder by their number; others are left out."""
    found = {}
    for path in folder.glob(f"{prefix}*"):
        number = path.name.removeprefix(prefix)

        # Trainers leave drafts beside them, such as `checkpoint-20.tmp`.
        if number.isdigit():
            found[int(number)] = path
    return found


def newest_whole(folder: Path, prefix: str, is_whole: Callable[[Path], bool]) -> Path | None:
    """The folder with the highest number that is whole; None for none."""
    by_number = numbered(folder, prefix)

    # A crash may leave a half-written one; the one before it is only some steps older.
    for number in sorted(by_number, reverse=True):
        if is_whole(by_number[number]):
            return by_number[number]
    return None
