"""Names and shapes of a saved model's tensors, read from the headers of its safetensors files."""

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open

from rlsp_cli.errors import JobError


def tensor_shapes(folder: Path) -> dict[str, list[int]]:
    """Shapes of all tensors of a saved model or adapter by name, without loading any.

    JobError when a file is missing or cut short, when a tensor is empty, or is not where the index
    says.
    """
    index = _index(folder)
    files = {folder / name for name in index.values()} or set(folder.glob("*.safetensors"))
    if not files:
        raise JobError(f"{folder}: no model was saved here (no .safetensors file)")

    shapes: dict[str, list[int]] = {}
    for file in sorted(files):
        for name, shape in _shapes_in(file).items():
            # What a process saves of a weight that is sharded over others, if it gathers none.
            if 0 in shape:
                problem = f"tensor {name} is empty ({shape})"
                raise JobError(f"{folder}: {problem}; the weights were not gathered")
            if index and index.get(name) != file.name:
                problem = f"tensor {name} lies in {file.name}, the index says {index.get(name)}"
                raise JobError(f"{folder}: {problem}")
            shapes[name] = shape

    if missing := sorted(index.keys() - shapes.keys()):
        problem = f"the index names {len(missing)} tensors that no file has, such as {missing[0]}"
        raise JobError(f"{folder}: {problem}")
    return shapes


def _index(folder: Path) -> dict[str, str]:
    """Tensor -> file name; empty for a model in a single file, which has no index."""
    index = next(folder.glob("*.safetensors.index.json"), None)
    if index is None:
        return {}
    weight_map: dict[str, str] = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
    return weight_map


def _shapes_in(file: Path) -> dict[str, list[int]]:
    """Of one file; safetensors refuses a file that is not as long as its header says."""
    try:
        with safe_open(file, framework="np") as tensors:
            return {name: list(tensors.get_slice(name).get_shape()) for name in tensors.keys()}  # noqa: SIM118 (no dict)
    except (OSError, SafetensorError) as error:
        problem = f"not a whole safetensors file, it was damaged or cut short: {error}"
        raise JobError(f"{file}: {problem}") from error
