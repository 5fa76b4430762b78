"""The identity of a model: a digest of its files, or its commit on the hub."""

import hashlib
from pathlib import Path

_FILES = ("*.json", "*.safetensors", "*.bin", "*.model", "*.txt", "*.jinja")
"""Configuration, tokenizer and weights; a card or a log makes no other model."""


def model_fingerprint(path: str | None) -> str | None:
    """SHA-256 over the names and contents of a folder's files, or a commit in the hub's cache.

    None for no model, and for one that is not on this machine. Reads all weights: a second for one
    or two gigabytes.
    """
    if path is None:
        return None
    return _of_folder(Path(path)) if Path(path).is_dir() else _of_hub(path)


def _of_folder(folder: Path) -> str:
    total = hashlib.sha256()
    for file in sorted({file for pattern in _FILES for file in folder.glob(pattern)}):
        with file.open("rb") as stream:
            content = hashlib.file_digest(stream, "sha256").hexdigest()
        total.update(f"{content}  {file.name}\n".encode())
    return total.hexdigest()


def _of_hub(name: str) -> str | None:
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    repository, _, revision = name.partition("@")
    try:
        found = try_to_load_from_cache(repository, "config.json", revision=revision or "main")
    except HFValidationError:  # a folder of another machine is no hub id
        return None
    return f"commit {Path(found).parent.name}" if isinstance(found, str) else None
