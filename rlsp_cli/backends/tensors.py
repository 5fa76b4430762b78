"""Names and shapes of a saved model's tensors, read from the headers of its safetensors files."""

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open

from rlsp_cli.errors import JobError


def tensor_shapes(folder: Path) -> dict[str, list[int]]:
    """Shapes of all tensors of a saved model or adapter, by name, read from the files' headers.

    JobError when a file is missing, cut short, or when a tensor is empty or is not where the index
    says.
    """
    index = next(folder.glob("*.safetensors.index.json"), None)
    stated: dict[str, str] = (
        json.loads(index.read_text(encoding="utf-8"))["weight_map"] if index else {}
    )
    files = sorted({folder / name for name in stated.values()}) or sorted(
        folder.glob("*.safetensors")
    )
    if not files:
        raise JobError(f"{folder}: no model was saved here (no .safetensors file)")

    shapes: dict[str, list[int]] = {}
    for file in files:
        for name, shape in _shapes_in(file).items():
            if 0 in shape:
                raise JobError(
                    f"{folder}: tensor {name} is empty ({shape}); the weights were not gathered"
                )
            if stated and stated.get(name) != file.name:
                raise JobError(
                    f"{folder}: tensor {name} lies in {file.name}, the index says {stated.get(name)}"
                )
            shapes[name] = shape

    if missing := sorted(stated.keys() - shapes.keys()):
        raise JobError(
            f"{folder}: the index names {len(missing)} tensors that no file has, such as {missing[0]}"
        )
    return shapes


def _shapes_in(file: Path) -> dict[str, list[int]]:
    """Of one file; safetensors refuses a file that is not as long as its header says."""
    try:
        with safe_open(file, framework="np") as tensors:
            return {name: list(tensors.get_slice(name).get_shape()) for name in tensors.keys()}  # noqa: SIM118 (no dict)
    except (OSError, SafetensorError) as error:
        raise JobError(
            f"{file}: not a whole safetensors file, it was damaged or cut short: {error}"
        ) from error
