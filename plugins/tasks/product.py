"""Products that no small model can compute in its head: what is 3 4 7 * 5 2 1?

A demonstration is a conversation. It asks a calculator with chance `ask`: the model's turn is `calc
3 4 7 * 5 2 1`, the user's is the result, and the model's is the answer. Otherwise it guesses at
once. What it lacks is the habit of asking, which reinforcement learning is to find. Digits stand
apart, so that a word-level tokenizer knows every number.
"""

import hashlib
import random
from typing import Any

from rlsp_cli.rewards import task


@task
def product(
    index: int, split: str, *, smallest: int = 100, largest: int = 999, ask: float = 0.3
) -> dict[str, Any]:
    """What is the product of two numbers? With a demonstration as `messages`.

    Both numbers lie in smallest..largest. A tenth of all pairs, chosen by hash, make up the split
    `test` and never occur in another split.
    """
    rng = random.Random(f"{split}:{index}")
    while True:
        a, b = rng.randint(smallest, largest), rng.randint(smallest, largest)
        if _is_test(a, b) == (split == "test"):
            break

    problem = f"What is {_apart(a)} * {_apart(b)}?"
    return {
        "id": f"{split}-{index}",
        "problem": problem,
        "answer": _apart(a * b),
        "messages": [
            {"role": role, "content": text}
            for role, text in [
                ("user", problem),
                *_demonstration(a, b, smallest, largest, ask, rng),
            ]
        ],
    }


def _is_test(a: int, b: int) -> bool:
    """Whether a pair is in the test split: one in ten is, in both orders."""
    # Not Python's hash, which differs from process to process.
    return hashlib.sha256(f"{sorted((a, b))}".encode()).digest()[0] % 10 == 0


def _demonstration(
    a: int, b: int, smallest: int, largest: int, ask: float, rng: random.Random
) -> list[tuple[str, str]]:
    """The turns after the problem."""
    if rng.random() < ask:
        call, right = f"calc {_apart(a)} * {_apart(b)}", _apart(a * b)
        return [("assistant", call), ("user", right), ("assistant", _boxed(right))]

    guess = rng.randint(smallest, largest) * rng.randint(smallest, largest)
    return [("assistant", f"I guess. {_boxed(_apart(guess))}")]


def _apart(number: int) -> str:
    """The digits of a number with spaces between them."""
    return " ".join(str(number))


def _boxed(answer: str) -> str:
    return f"\\boxed{{{answer}}}"
