"""What a recipe's `model.path` means to transformers: a folder, a GGUF file, or a hub id with a revision."""

from pathlib import Path

from rlsp_cli.errors import NotReadyError


def source_of(path: str) -> tuple[str, dict[str, str]]:
    """What `from_pretrained` is given for a folder, a `.gguf` file or `org/name[@revision]`: a name and options."""
    file = Path(path)
    if file.suffix == ".gguf":
        return str(file.parent), {"gguf_file": file.name}
    if file.is_dir():
        return path, {}
    name, _, revision = path.partition("@")
    return name, {"revision": revision or "main"}


def unloadable(path: str, error: Exception) -> NotReadyError:
    """The error of a model that cannot be loaded, with the first line of what the libraries say."""
    return NotReadyError(f"model {path!r} cannot be loaded: {first_line(error)}")


def first_line(error: Exception) -> str:
    """The first line of an error's message, with its type where the message is not meant for people."""
    words = str(error).strip().partition("\n")[0]
    if isinstance(error, OSError | ValueError) and words:
        return words
    return f"{type(error).__name__}: {words}"
