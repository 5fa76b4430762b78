"""Print which of the given names are here, as a JSON list; runs in a backend's interpreter and imports none of them.

A name is a module (`flash_attn`), a word in a module's file (`package.module:WORD`), or a kernel of
the hub that is in its cache (`org/name`).
"""

import importlib.util
import json
import os
import sys
from pathlib import Path


def is_here(name):
    """Whether the environment has it."""
    return has_kernel(name) if "/" in name else has_module(name)


def has_module(name):
    """Only the top package is looked up: finding a module inside it would import it."""
    path, _, word = name.partition(":")
    top, *inner = path.split(".")
    found = importlib.util.find_spec(top)
    if found is None or not inner:
        return found is not None
    files = [
        Path(folder, *inner).with_suffix(".py") for folder in found.submodule_search_locations or ()
    ]
    return any(file.is_file() and word in file.read_text(encoding="utf-8") for file in files)


def has_kernel(name):
    """A snapshot in the cache of the package `kernels`, which older versions kept among the models."""
    if importlib.util.find_spec("kernels") is None:
        return False
    from huggingface_hub.constants import HF_HUB_CACHE

    cache = Path(os.environ.get("KERNELS_CACHE") or HF_HUB_CACHE)
    folder = "--" + name.replace("/", "--")
    return any(
        any((cache / f"{kind}{folder}" / "snapshots").glob("*")) for kind in ("kernels", "models")
    )


if __name__ == "__main__":
    sys.path[:] = filter(None, sys.path)  # a folder here that is called as a package is none
    print(json.dumps([name for name in sys.argv[1:] if is_here(name)]))
