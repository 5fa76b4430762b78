"""What a recipe's `model.path` means to transformers: a folder, a GGUF file, or a hub id with a revision."""

from pathlib import Path


def source_of(path: str) -> tuple[str, dict[str, str]]:
    """What `from_pretrained` is given for a folder, a `.gguf` file or `org/name[@revision]`: a name and options."""
    file = Path(path)
    if file.suffix == ".gguf":
        return str(file.parent), {"gguf_file": file.name}
    if file.is_dir():
        return path, {}
    name, _, revision = path.partition("@")
    return name, {"revision": revision or "main"}
