"""A search with checks, small enough for a laptop: which two of these numbers add up to the target?

The demonstrations try pairs in order, check each sum, and go back when a number has no partner.
Every step is right, but after each failed try they give up with probability `give_up`. What they
lack is persistence, which reinforcement learning is to find.

With `guess`, a demonstration that stops in its first line names the last pair, untried. One that
stops after going back has no answer, as a chain of thought that was not finished. If the last pair
is the wanted one often enough (`last_pair`), a search that is given up halfway is worth less than a
guess, and a whole search more.
"""

import hashlib
import itertools
import random
from typing import Any

from rlsp_cli.rewards import task


@task
def pair_sum(
    index: int,
    split: str,
    *,
    numbers: int = 4,
    largest: int = 15,
    give_up: float = 0.5,
    go_back: float | list[float] | None = None,
    guess: bool = False,
    last_pair: float | None = None,
) -> dict[str, Any]:
    """Which two of these numbers add up to the target? With a demonstration as `solution`.

    The numbers are distinct, lie in 1..largest, and exactly one pair has the wanted sum. A tenth of
    all problems, chosen by hash, make up the split `test` and never occur in another split.

    A demonstration stops after a failed try with chance `give_up`. Where a number has no partner it
    goes on to the next with chance `go_back`, by default 1 - give_up; a list has a chance for the
    first number, one for the second, and so on, and its last holds for the rest. The wanted pair is
    that of the last two numbers with chance `last_pair`; by default every pair is equally likely.
    """
    rng = random.Random(f"{split}:{index}")
    while True:
        given = rng.sample(range(1, largest + 1), numbers)
        pairs = list(itertools.combinations(given, 2))
        if last_pair is None:
            wanted = rng.choice(pairs)
        else:
            wanted = pairs[-1] if rng.random() < last_pair else rng.choice(pairs[:-1])
        target = sum(wanted)

        is_unique = sum(sum(pair) == target for pair in pairs) == 1
        if is_unique and _is_test(given, target) == (split == "test"):
            break

    go_back = 1 - give_up if go_back is None else go_back
    by_line = go_back if isinstance(go_back, list) else [go_back]
    return {
        "id": f"{split}-{index}",
        "problem": f"Which two of {', '.join(map(str, given))} add up to {target}?",
        "answer": f"{wanted[0]} + {wanted[1]}",
        "solution": _demonstration(pairs, target, give_up, by_line, guess, rng),
    }


def _is_test(given: list[int], target: int) -> bool:
    """Whether a problem is in the test split: one in ten is, whatever the order of its numbers."""
    # Not Python's hash, which differs from process to process.
    return hashlib.sha256(f"{sorted(given)} {target}".encode()).digest()[0] % 10 == 0


def _demonstration(
    pairs: list[tuple[int, int]],
    target: int,
    give_up: float,
    go_back: list[float],
    guess: bool,
    rng: random.Random,
) -> str:
    first, line = pairs[0][0], 0
    text = f"Start with {first}."

    for a, b in pairs:
        if a != first:
            text += f" No partner for {first}, go back. Start with {a}."
            first, line = a, line + 1
        text += f" {a} + {b} = {a + b}, {target} wanted: "
        if a + b == target:
            return text + f"correct. \\boxed{{{a} + {b}}}"

        text += "too low." if a + b < target else "too high."
        is_end_of_line = b == pairs[-1][1]
        stops = 1 - go_back[min(line, len(go_back) - 1)] if is_end_of_line else give_up
        if rng.random() < stops:
            break

    if not guess or line > 0:
        return text + " I give up. \\boxed{none}"
    a, b = pairs[-1]
    return text + f" I guess. \\boxed{{{a} + {b}}}"
