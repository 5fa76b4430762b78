"""Print which of the given names are installed, as a JSON list; runs in a backend's interpreter.

A name is a module (`flash_attn`), a word in a module's file (`package.module:WORD`), or a kernel of
the hub that is in its cache (`org/name`). None of them is imported: some take half a minute, and a
build for another torch would fail although it is there.
"""

import importlib.util
import json
import os
import sys
from pathlib import Path


def is_here(name):
    """Whether the environment has what the name stands for."""
    return has_kernel(name) if "/" in name else has_module(name)


def has_module(name):
    """Whether a module is there, and the word in its file where one is given."""
    path, _, word = name.partition(":")
    top, *inner = path.split(".")

    # Only the top package is looked up: finding a module inside it would import it.
    spec = importlib.util.find_spec(top)
    if spec is None or not inner:
        return spec is not None

    for folder in spec.submodule_search_locations or ():
        file = Path(folder, *inner).with_suffix(".py")
        if file.is_file() and word in file.read_text(encoding="utf-8"):
            return True
    return False


def has_kernel(name):
    """Whether the package `kernels` is there, and a snapshot of this kernel in its cache."""
    if importlib.util.find_spec("kernels") is None:
        return False
    from huggingface_hub.constants import HF_HUB_CACHE

    cache = Path(os.environ.get("KERNELS_CACHE") or HF_HUB_CACHE)
    folder = name.replace("/", "--")

    # Older versions of `kernels` kept them among the models.
    kinds = [cache / f"{kind}--{folder}" / "snapshots" for kind in ("kernels", "models")]
    return any(any(snapshots.glob("*")) for snapshots in kinds)


if __name__ == "__main__":
    # Without the working directory: a folder there may have the name of a package, as wandb's has.
    sys.path[:] = filter(None, sys.path)
    print(json.dumps([name for name in sys.argv[1:] if is_here(name)]))
