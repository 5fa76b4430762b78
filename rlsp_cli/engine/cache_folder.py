"""Folders that rlsp can make again, and that its processes share: `$RLSP_CACHE_DIR`, or `~/.cache/rlsp`."""

import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from rlsp_cli.errors import NotReadyError

_UNUSED_S = 30 * 24 * 3600
"""Seconds after which a folder that no run has used is removed."""


def cache_home() -> Path:
    """Where cached folders are; it may be removed at any time when no stage is running."""
    own = os.environ.get("RLSP_CACHE_DIR")
    if own:
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rlsp"


def cached_folder(kind: str, key: str, write: Callable[[Path], object]) -> Path:
    """The folder of a key, which `write` fills if it is not there.

    It appears whole or not at all, and two processes may make it at once. NotReadyError when it
    cannot be written.
    """
    home = cache_home() / kind
    folder = home / key
    if not folder.exists():
        try:
            _make(folder, write)
            _remove_unused(home)
        except OSError as error:
            raise NotReadyError(
                f"{folder}: cannot be written ({error}); free some space, or name another folder by RLSP_CACHE_DIR"
            ) from error

    os.utime(folder)
    return folder


def _make(folder: Path, write: Callable[[Path], object]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=folder.parent))
    try:
        write(draft)
        draft.rename(folder)
    except OSError:
        # Another process may have been faster, with the same content.
        if not folder.exists():
            raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _remove_unused(home: Path) -> None:
    # With drafts of processes that were killed.
    for folder in home.iterdir():
        if time.time() - folder.stat().st_mtime > _UNUSED_S:
            shutil.rmtree(folder, ignore_errors=True)
