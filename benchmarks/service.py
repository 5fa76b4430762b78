"""The reward service under load while its scoring processes are killed: is every request answered, and rightly?

Starts `rlsp reward serve` with math_verify, asks it with many requests at once, half of them with a
right answer, and kills one of its scoring processes every second.
"""

import argparse
import asyncio
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx2

RECIPE = "schema_version: 1\nname: load\nmodel: {from_scratch: {}}\nreward: {workers: 2, exploration: {use: length}}\n"


async def load(
    url: str, requests: int, concurrency: int
) -> list[tuple[int, float | None, float, bool]]:
    """(status, reward's correctness, seconds, whether it should be right) of every request."""
    limit = asyncio.Semaphore(concurrency)
    limits = httpx2.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
    async with httpx2.AsyncClient(timeout=120, limits=limits) as client:

        async def one(n: int) -> tuple[int, float | None, float, bool]:
            right = n % 2 == 0
            query = f"What is {n} + 1? That is \\boxed{{{n + 1 if right else n}}}"
            body = {"query": [query], "prompts": [f"What is {n} + 1?"], "labels": [f"{n + 1}.0"]}
            async with limit:
                began = time.perf_counter()
                while (reply := await client.post(url, json=body)).status_code == 503:
                    await asyncio.sleep(float(reply.headers["Retry-After"]))
            data: Any = reply.json()
            correct = None if data["extra_logs"]["rlsp_unscored"] else data["scores"][0]
            return reply.status_code, correct, time.perf_counter() - began, right

        return await asyncio.gather(*(one(n) for n in range(requests)))


def scoring_processes(parent: int) -> list[int]:
    """The children of the service that run plugins."""
    children = Path(f"/proc/{parent}/task").glob("*/children")
    pids = [int(pid) for file in children for pid in file.read_text().split()]
    return [
        pid
        for pid in pids
        if b"rlsp_cli.rewards.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]


async def kill_every_second(parent: int, kills: list[int]) -> None:
    while True:
        await asyncio.sleep(1)
        pid = random.choice(scoring_processes(parent))
        os.kill(pid, signal.SIGKILL)
        kills.append(pid)


async def measure(url: str, pid: int, requests: int, concurrency: int) -> None:
    kills: list[int] = []
    killer = asyncio.create_task(kill_every_second(pid, kills))
    began = time.perf_counter()
    replies = await load(url, requests, concurrency)
    seconds = time.perf_counter() - began
    killer.cancel()
    latencies = sorted(reply[2] for reply in replies)
    wrong = sum(correct is not None and bool(correct) != right for _, correct, _, right in replies)
    unscored = sum(correct is None for _, correct, _, _ in replies)
    print(
        f"{requests} requests at concurrency {concurrency}, {len(kills)} processes killed, {seconds:.1f} s"
    )
    print(
        f"answered with 200: {sum(status == 200 for status, *_ in replies)}, wrong: {wrong}, unscored: {unscored}"
    )
    print(
        f"latency: p50 {statistics.median(latencies):.2f} s, p99 {latencies[int(0.99 * len(latencies))]:.2f} s"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--concurrency", type=int, default=256)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        recipe = Path(folder) / "load.yaml"
        recipe.write_text(RECIPE)
        command = [sys.executable, "-m", "rlsp_cli", "reward", "serve", str(recipe), "--port", "0"]
        log = Path(folder) / "log"
        service = subprocess.Popen(command, stderr=log.open("w"))
        try:
            while not (words := log.read_text().split()):
                time.sleep(0.1)
            url = words[-1]
            asyncio.run(measure(url, service.pid, arguments.requests, arguments.concurrency))
        finally:
            service.terminate()
            service.wait()


if __name__ == "__main__":
    main()
