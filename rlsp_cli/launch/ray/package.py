"""The files that every node gets, as one zip that Ray keeps under the hash of its content."""

import hashlib
import io
import zipfile
from collections.abc import Sequence
from pathlib import Path

from rlsp_cli.errors import NotReadyError

_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The oldest time that a zip can hold."""
_MODE = 0o644 << 16
"""A file that everyone can read; a zip holds the mode in the upper half of its attributes."""
_LARGEST = 100 << 20
"""Bytes that Ray's dashboard takes."""
_DIGITS = 40
"""Of the hash in a package's name."""


def pack(folder: Path, names: Sequence[str]) -> tuple[str, bytes]:
    """(name, content) of a package with these files of a folder.

    NotReadyError when a file is missing, or when Ray would not take so much.
    """
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(names):
            if not (folder / name).is_file():
                raise NotReadyError(
                    f"{folder / name}: not there, and every node needs it; was the setup run?"
                )
            # No times and no owner: the same files make the same bytes, and the same name.
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, _MODE
            archive.writestr(entry, (folder / name).read_bytes())

    content = memory.getvalue()
    if len(content) > _LARGEST:
        size, largest = len(content) >> 20, _LARGEST >> 20
        raise NotReadyError(
            f"{folder}: {', '.join(names)} pack to {size} MiB, and Ray's dashboard takes {largest}"
        )

    # Ray takes only names of this form for packages.
    return f"_ray_pkg_{hashlib.sha256(content).hexdigest()[:_DIGITS]}.zip", content
