"""A peer of rewards.py, run in its own interpreter: peer_rewards.py SIDE CASES. Prints the seconds it took."""

import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

Case = dict[str, str]
REQUEST = 16


def judge(case: Case) -> float:
    """math-verify as its readme calls it."""
    from math_verify import parse, verify

    return float(verify(parse(f"\\boxed{{{case['reference']}}}"), parse(case["response"])))


def bare(rows: list[Case]) -> list[float]:
    """One process, one after the other."""
    return [judge(row) for row in rows]


def executor(rows: list[Case]) -> list[float]:
    """A new pool of processes for each request."""
    found: list[float] = []
    for i in range(0, len(rows), REQUEST):
        with ProcessPoolExecutor() as pool:
            found += pool.map(judge, rows[i : i + REQUEST])
    return found


def trl(rows: list[Case]) -> list[float]:
    """TRL's accuracy reward, in batches."""
    from trl.rewards import accuracy_reward

    found: list[float] = []
    for i in range(0, len(rows), REQUEST):
        part = rows[i : i + REQUEST]
        completions = [[{"content": row["response"]}] for row in part]
        found += accuracy_reward(completions, [f"${row['reference']}$" for row in part])
    return found


def verl(rows: list[Case]) -> list[float]:
    """verl's score by math-verify, one call a response."""
    from verl.utils.reward_score.math_verify import compute_score

    return [float(compute_score(row["response"], row["reference"])) for row in rows]


SIDES: dict[str, Callable[[list[Case]], list[float]]] = {
    "bare": bare,
    "executor": executor,
    "trl": trl,
    "verl": verl,
}


def main(side: str, file: str) -> None:
    rows = json.loads(Path(file).read_text())
    if (
        side != "executor"
    ):  # its processes are new each time: what they import is part of what it costs
        SIDES[side](rows[:4])
    began = time.perf_counter()
    scores = SIDES[side](rows)
    seconds = time.perf_counter() - began
    print(
        json.dumps(
            {
                "seconds": seconds,
                "right": sum(score or 0.0 for score in scores),
                "responses": len(scores),
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
