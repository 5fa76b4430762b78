"""Randomness as a pure function of the recipe's seed and the place where it is used.

Every step seeds its own generator, so the step number is the state of the random numbers: a resumed
run needs nothing else to draw what the uninterrupted one drew.
"""

import hashlib

import torch


def derive_seed(seed: int, *place: object) -> int:
    """A 63-bit seed for one place, such as `derive_seed(recipe.seed, "ppo", step)`."""
    digest = hashlib.sha256(repr((seed, *place)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(device: torch.device, seed: int, *place: object) -> torch.Generator:
    """A fresh generator on `device`, seeded for one place."""
    return torch.Generator(device=device).manual_seed(derive_seed(seed, *place))
