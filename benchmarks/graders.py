"""Accuracy on recorded grader cases, from the main thread, a thread, asyncio and a threaded Ray actor alike.

Cases are JSON Lines with reference, response, expected, kind and policy; those with a policy depend
on a choice and are left out. Beside us: math-verify bare, in the main thread, with its own
timeouts.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rlsp_cli.recipe.reward import Reward
from rlsp_cli.rewards.sample import Sample, Score
from rlsp_cli.rewards.scorer import Scorer

Row = dict[str, Any]


def verify(rows: Sequence[Row]) -> list[Score]:
    """Our verdicts, from whatever thread this is called in."""
    with Scorer(Reward(workers=os.cpu_count() or 2)) as scorer:
        return scorer.verify([Sample("", row["response"], row["reference"]) for row in rows])


def in_thread(rows: Sequence[Row]) -> list[Score]:
    """The same in another thread."""
    found: list[list[Score]] = []
    thread = threading.Thread(target=lambda: found.append(verify(rows)))
    thread.start()
    thread.join()
    return found[0]


def in_event_loop(rows: Sequence[Row]) -> list[Score]:
    """The same awaited."""
    return asyncio.run(asyncio.to_thread(verify, rows))


def in_ray_actor(rows: Sequence[Row]) -> list[Score]:
    """The same in an actor with several threads, where signals do not work."""
    import ray

    @ray.remote(max_concurrency=4)
    class Grader:
        def verify(self, rows: Sequence[Row]) -> list[Score]:
            return verify(rows)

    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        found: list[Score] = ray.get(Grader.remote().verify.remote(list(rows)))
        return found
    finally:
        ray.shutdown()


def bare(rows: Sequence[Row]) -> list[Score]:
    """math-verify with its defaults, in the main thread of a process of its own."""
    code = (
        "import json, logging, sys\nfrom math_verify import parse, verify\nlogging.disable()\n"
        "for line in sys.stdin:\n    row = json.loads(line)\n"
        "    print(float(verify(parse('$' + row['reference'] + '$'), parse(row['response']))), flush=True)\n"
    )
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    done = subprocess.run(
        [sys.executable, "-c", code], input=lines, capture_output=True, text=True, check=True
    )
    return [Score("bare", "value", float(line)) for line in done.stdout.split()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=Path, required=True)
    arguments = parser.parse_args()
    rows = [
        row for row in map(json.loads, arguments.cases.open(encoding="utf-8")) if not row["policy"]
    ]
    sides: dict[str, Callable[[Sequence[Row]], list[Score]]] = {
        "main thread": verify,
        "thread": in_thread,
        "asyncio": in_event_loop,
        "threaded Ray actor": in_ray_actor,
        "bare math-verify": bare,
    }
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # where code from an answer would leave its traces
        for side, run in sides.items():
            report(side, rows, run(rows))
        print("files that answers left behind:", [str(path) for path in Path(folder).rglob("*")])


def report(side: str, rows: Sequence[Row], scores: Sequence[Score]) -> None:
    right: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for row, score in zip(rows, scores, strict=True):
        kind = "adversarial" if row["kind"] == "adversarial" else "plain"
        total[kind] += 1
        right[kind] += (score.value == 1.0) == bool(row["expected"])
    shares = ", ".join(
        f"{kind} {right[kind]}/{total[kind]} = {right[kind] / total[kind]:.4f}" for kind in total
    )
    outcomes = dict(Counter(score.outcome for score in scores))
    slowest = max(score.ms for score in scores) / 1000
    print(
        f"{side}: {shares}; {outcomes}" + (f", slowest {slowest:.1f} s" if slowest else ""),
        flush=True,
    )


if __name__ == "__main__":
    main()
