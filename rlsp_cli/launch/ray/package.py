"""The files that every node gets, as one zip that Ray keeps under the hash of its content."""

import hashlib
import io
import zipfile
from collections.abc import Sequence
from pathlib import Path

from rlsp_cli.errors import NotReadyError

_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The oldest time that a zip can hold: the same files make the same bytes."""
_MOST = 100 << 20
"""Bytes that Ray's dashboard takes."""


def pack(folder: Path, names: Sequence[str]) -> tuple[str, bytes]:
    """(name, content) of a package; NotReadyError when a file is missing, or when Ray would not take so much."""
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(names):
            if not (folder / name).is_file():
                raise NotReadyError(
                    f"{folder / name}: not there, and every node needs it; was the setup run?"
                )
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(entry, (folder / name).read_bytes())
    content = memory.getvalue()
    if len(content) > _MOST:
        size, most = len(content) >> 20, _MOST >> 20
        raise NotReadyError(
            f"{folder}: {', '.join(names)} pack to {size} MiB, and Ray's dashboard takes {most}"
        )
    return f"_ray_pkg_{hashlib.sha256(content).hexdigest()[:40]}.zip", content
