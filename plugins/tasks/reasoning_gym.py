"""Problems of reasoning-gym: more than a hundred procedural tasks."""

import hashlib
from functools import cache
from typing import Any

from rlsp_cli.rewards import task


@task
def reasoning_gym(index: int, split: str, *, name: str = "countdown") -> dict[str, Any]:
    """Row `index` of the task `name` of reasoning-gym; splits have seeds of their own."""
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
    return library.create_dataset(name, seed=seed, size=1 << 30)
