"""Rewards per second of our pool beside its peers, on long responses; then our latency with poison answers among them.

All sides judge the same responses with the same library, math-verify 0.9: (a) one process that
calls it bare, (b) a new ProcessPoolExecutor for every request of 16, as the paper's reward server
does, (c) the math rewards of TRL and verl, in the environments named. Sides alternate, ratios are
of medians.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rlsp_cli.recipe.reward import Reward
from rlsp_cli.rewards.sample import Sample, Score
from rlsp_cli.rewards.scorer import Scorer

POISON = ["\\int_{0}^{10^{9}} \\sin(x^{x}) \\, dx", "\\prod_{k=1}^{10^{6}} k"]
CHARACTERS_PER_TOKEN = 3.2
Case = dict[str, str]


def cases(data: Path, count: int) -> list[Case]:
    """Responses of 2,000 to 4,000 tokens: solutions of other problems as thinking, then a right or wrong box."""
    rows = [json.loads(line) for line in data.open(encoding="utf-8")]
    rng, found = random.Random(0), []
    for n in range(count):
        gold, text, wanted = (
            rows[n % len(rows)]["answer"],
            "",
            rng.uniform(2000, 4000) * CHARACTERS_PER_TOKEN,
        )
        while len(text) < wanted:
            text += (
                rng.choice(rows)["solution"].replace("\\boxed", "\\mathrm")
                + "\nWait, let me check this again.\n"
            )
        answer = gold if n % 2 else rng.choice(rows)["answer"]
        found.append(
            {"reference": gold, "response": f"{text}\nThe answer is $\\boxed{{{answer}}}$."}
        )
    return found


def ours(scorer: Scorer, rows: list[Case]) -> tuple[float, list[Score]]:
    """Seconds for all rows with workers that are warm, and the verdicts."""
    samples = [Sample("", row["response"], row["reference"]) for row in rows]
    began = time.perf_counter()
    scores = scorer.verify(samples)
    return time.perf_counter() - began, scores


def peer(python: str, side: str, file: Path) -> float:
    """Seconds that a peer takes for the same rows, in a process of its own, imports and warm-up not counted."""
    script = Path(__file__).with_name("peer_rewards.py")
    done = subprocess.run(
        [python, script, side, file], capture_output=True, text=True, check=True, cwd=file.parent
    )
    return float(json.loads(done.stdout.splitlines()[-1])["seconds"])


def poisoned(scorer: Scorer, rows: list[Case], timeout_s: float) -> dict[str, float]:
    """Latencies with one poison answer in a hundred: each costs its deadline, and nobody else's."""
    mixed = [dict(row) for row in rows]
    places = range(50, len(mixed), 100)
    for i in places:
        mixed[i]["response"] += f" No: \\boxed{{{POISON[i // 100 % len(POISON)]}}}"
    seconds, scores = ours(scorer, mixed)
    clean = [score for i, score in enumerate(scores) if i not in places]
    milliseconds = sorted(score.ms for score in scores)
    return {
        "seconds": seconds,
        "scored": len(scores),
        "lost": sum(score.outcome != "value" for score in clean),
        "poison_timeouts": sum(scores[i].outcome == "timeout" for i in places),
        "p50_ms": statistics.median(milliseconds),
        "p99_ms": milliseconds[int(0.99 * len(milliseconds))],
        "deadline_ms": 1000 * timeout_s,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--data", type=Path, required=True, help="MATH-500 as JSON Lines, with answer and solution"
    )
    parser.add_argument("--responses", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--trl", help="interpreter with TRL and math-verify")
    parser.add_argument("--verl", help="interpreter with verl and math-verify")
    arguments = parser.parse_args()
    rows = cases(arguments.data, arguments.responses)
    sides = {
        "bare": sys.executable,
        "executor": sys.executable,
        "trl": arguments.trl,
        "verl": arguments.verl,
    }
    sides = {side: python for side, python in sides.items() if python}
    reward = Reward(workers=os.cpu_count() or 2, timeout_s=5)
    times: dict[str, list[float]] = {"rlsp": [], **{side: [] for side in sides}}
    with tempfile.TemporaryDirectory() as folder, Scorer(reward) as scorer:
        file = Path(folder) / "cases.json"
        file.write_text(json.dumps(rows))
        ours(scorer, rows[:32])
        for _ in range(arguments.rounds):
            times["rlsp"].append(ours(scorer, rows)[0])
            for side, python in sides.items():
                times[side].append(peer(python, side, file))
        late = poisoned(scorer, rows, reward.timeout_s)
    medians = {side: statistics.median(seconds) for side, seconds in times.items()}
    print(
        f"{len(rows)} responses of {statistics.fmean(len(r['response']) for r in rows):,.0f} characters"
    )
    for side, seconds in medians.items():
        print(
            f"{side:9} {len(rows) / seconds:8.1f} rewards/s   rlsp is {seconds / medians['rlsp']:.2f}x"
        )
    print("with poison:", json.dumps({key: round(value, 1) for key, value in late.items()}))


if __name__ == "__main__":
    main()
