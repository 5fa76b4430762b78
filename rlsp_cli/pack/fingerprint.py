"""The identity of a model: a digest of its files, or its commit on the hub."""

import hashlib
from pathlib import Path

from rlsp_cli.hub_cache import cached_file

_FILES = ("*.json", "*.safetensors", "*.bin", "*.model", "*.txt", "*.jinja")
"""Configuration, tokenizer and weights; a card or a log makes no other model."""


def model_fingerprint(path: str | None) -> str | None:
    """SHA-256 over the names and contents of a folder's files, or a commit in the hub's cache.

    None for no model, and for one that is not on this machine. Reads all weights: a second for one
    or two gigabytes.
    """
    if path is None:
        return None
    if Path(path).is_dir():
        return _of_folder(Path(path))
    config = cached_file(path, "config.json")
    return f"commit {config.parent.name}" if config else None


def _of_folder(folder: Path) -> str:
    total = hashlib.sha256()
    for file in sorted({file for pattern in _FILES for file in folder.glob(pattern)}):
        with file.open("rb") as stream:
            content = hashlib.file_digest(stream, "sha256").hexdigest()
        total.update(f"{content}  {file.name}\n".encode())
    return total.hexdigest()
