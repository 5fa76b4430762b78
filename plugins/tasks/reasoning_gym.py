"""Problems of reasoning-gym: more than a hundred procedural tasks."""

import hashlib
from functools import cache
from typing import Any

from rlsp_cli.rewards import task

_ROWS = 1 << 30
"""More rows than any run reads; each is made when it is read."""


@task
def reasoning_gym(index: int, split: str, *, name: str = "countdown") -> dict[str, Any]:
    """A procedural task of reasoning-gym, by `name`; each split has a seed of its own."""
    entry = _dataset(name, split)[index]
    return {
        "id": f"{name}-{split}-{index}",
        "problem": entry["question"],
        "answer": str(entry["answer"]),
        "entry": entry,
    }


@cache
def _dataset(name: str, split: str) -> Any:
    import reasoning_gym as library

    seed = int.from_bytes(hashlib.sha256(split.encode()).digest()[:4], "big")
    return library.create_dataset(name, seed=seed, size=_ROWS)
