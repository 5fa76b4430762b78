"""Names and shapes of a saved model's tensors, read from the headers of its safetensors files."""

import json
import struct
from pathlib import Path
from typing import Any

from rlsp_cli.errors import JobError


def tensor_shapes(folder: Path) -> dict[str, list[int]]:
    """Shapes of all tensors of a saved model or adapter, by name, read from the files' headers.

    JobError when a file is missing, cut short, or when a tensor is empty or is not where the index says.
    """
    index = next(folder.glob("*.safetensors.index.json"), None)
    stated: dict[str, str] = json.loads(index.read_text(encoding="utf-8"))["weight_map"] if index else {}
    files = sorted({folder / name for name in stated.values()}) if stated else sorted(folder.glob("*.safetensors"))
    if not files:
        raise JobError(f"{folder}: no model was saved here (no .safetensors file)")
    shapes = {name: (shape, file.name) for file in files for name, shape in _header(file).items()}
    for name, (shape, file_name) in shapes.items():
        if 0 in shape:
            raise JobError(f"{folder}: tensor {name} is empty ({shape}); the weights were not gathered")
        if stated and stated.get(name) != file_name:
            raise JobError(f"{folder}: tensor {name} lies in {file_name}, the index says {stated.get(name)}")
    missing = sorted(stated.keys() - shapes.keys())
    if missing:
        raise JobError(f"{folder}: the index names {len(missing)} tensors that no file has, such as {missing[0]}")
    return {name: shape for name, (shape, _) in shapes.items()}


def _header(file: Path) -> dict[str, list[int]]:
    """Names and shapes in a safetensors file, whose data must be as long as its header says."""
    try:
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            header: dict[str, Any] = json.loads(stream.read(length))
    except (OSError, struct.error, ValueError) as error:
        raise JobError(f"{file}: not a whole safetensors file ({type(error).__name__})") from error
    header.pop("__metadata__", None)
    end = max((entry["data_offsets"][1] for entry in header.values()), default=0)
    if file.stat().st_size != 8 + length + end:
        raise JobError(f"{file}: has {file.stat().st_size} bytes, its header says {8 + length + end}; it was cut short")
    return {name: entry["shape"] for name, entry in header.items()}
