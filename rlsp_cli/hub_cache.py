"""Files of models in the hub's cache on this machine; the hub itself is not asked."""

from pathlib import Path


def cached_file(model: str, file: str) -> Path | None:
    """A file of the model `org/name[@revision]` in the cache.

    None where the cache has none, and where `model` is no hub id, such as a folder.
    """
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    name, _, revision = model.partition("@")
    try:
        found = try_to_load_from_cache(name, file, revision=revision or "main")
    except HFValidationError:
        return None
    # For a file that the hub is known not to have it is a marker, and no path.
    return Path(found) if isinstance(found, str) else None
