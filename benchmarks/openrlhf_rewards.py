"""Rewards through OpenRLHF's own executor: our service, and math-verify called bare in the same process.

Both are a file with a `reward_func`, which the real executor of an interpreter with OpenRLHF and
math-verify loads and calls in threads; the sides alternate. math-verify's deadline works in a main
thread alone, so bare it runs without one.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

ROOT = Path(__file__).parent.parent
RECIPE = "schema_version: 1\nname: seam\nmodel: {from_scratch: {}}\nreward: {workers: 2, exploration: {use: length}}\n"
BARE = """
import json
from math_verify import parse, verify

def reward_func(queries, prompts, labels):
    gold = parse("\\\\boxed{" + json.loads(labels[0])["reference"] + "}", parsing_timeout=None)
    right = verify(gold, parse(queries[0], parsing_timeout=None), timeout_seconds=None)
    return {"rewards": float(right), "scores": float(right), "extra_logs": {}}
"""


class Characters:
    """A tokenizer whose tokens are characters, so that what is timed is the reward."""

    def __call__(self, text, **_):
        import torch

        return {"input_ids": torch.tensor([[ord(letter) for letter in text]])}

    def decode(self, ids, **_):
        return "".join(map(chr, ids))


class Engine:
    """Stands for vLLM."""

    def __init__(self, text):
        self.tokens = [ord(letter) for letter in text]

    async def generate(self, *_, **__):
        return SimpleNamespace(
            outputs=[SimpleNamespace(token_ids=self.tokens, finish_reason="stop", logprobs=None)]
        )


def response(n):
    """Some thousand characters of work, half of them with the right answer."""
    steps = "".join(
        f"Step {k}: ${n} + {k} = {n + k}$, so we go on and check that again. " for k in range(30)
    )
    return f"{steps}Therefore the answer is $\\boxed{{{n + n % 2}}}$."


async def load(executor, samples, concurrency):
    """(seconds of all, seconds of each, number right)."""
    limit, tokenizer = asyncio.Semaphore(concurrency), Characters()
    params = SimpleNamespace(max_tokens=10**6, logprobs=None)

    async def one(n):
        prompt, label = f"What is {n} ?", json.dumps({"id": str(n), "reference": str(n)})
        async with limit:
            began = time.perf_counter()
            output = await executor.execute(
                prompt, label, params, 10**7, tokenizer, Engine(response(n))
            )
            assert output["reward"] is not None
            return time.perf_counter() - began, output["scores"]

    began = time.perf_counter()
    done = await asyncio.gather(*(one(n) for n in range(samples)))
    return (
        time.perf_counter() - began,
        sorted(seconds for seconds, _ in done),
        sum(right for _, right in done),
    )


def measure(samples, rounds):
    """In OpenRLHF's interpreter, in a folder with both files."""
    sys.path.insert(0, str(Path.cwd()))
    import rlsp_hook

    rlsp_hook.install()
    from openrlhf.utils.agent import SingleTurnAgentExecutor

    sides = {name: SingleTurnAgentExecutor(f"{name}.py") for name in ("bare", "rlsp_reward")}
    for executor in sides.values():
        asyncio.run(load(executor, 64, 16))
    for concurrency in (64, 256):
        ratios, text = [], {}
        for _ in range(rounds):
            seconds = {}
            for name, executor in sides.items():
                seconds[name], each, right = asyncio.run(load(executor, samples, concurrency))
                per_sample, p99 = 1000 * seconds[name] / samples, 1000 * each[int(0.99 * samples)]
                text[name] = (
                    f"{per_sample:.2f} ms a sample, p99 {p99:.0f} ms, {right:.0f} of {samples} right"
                )
            ratios.append(seconds["rlsp_reward"] / seconds["bare"])
        spread = f"{statistics.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f})"
        print(f"concurrency {concurrency}: service/bare {spread}", flush=True)
        for name, words in text.items():
            print(f"  {name}: {words}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", default=sys.executable, help="interpreter with OpenRLHF")
    parser.add_argument(
        "--math-verify", help="a folder with math-verify and what it needs, for that interpreter"
    )
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        return measure(arguments.samples, arguments.rounds)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "bare.py").write_text(BARE)
        (folder / "seam.yaml").write_text(RECIPE)
        for file in ("rlsp_reward.py", "rlsp_hook.py"):
            (folder / file).write_text((ROOT / "templates" / "openrlhf" / file).read_text())
        command = [
            sys.executable,
            "-m",
            "rlsp_cli",
            "reward",
            "serve",
            str(folder / "seam.yaml"),
            "--port",
            "0",
        ]
        log = folder / "log"
        service = subprocess.Popen(command, stderr=log.open("w"))
        try:
            while not (words := log.read_text().split()):
                assert service.poll() is None
                time.sleep(0.1)
            environment = {**os.environ, "RLSP_REWARD_URL": words[-1], "RLSP_OPENRLHF_CPU": "1"}
            if arguments.math_verify:
                environment["PYTHONPATH"] = arguments.math_verify
            inside = [arguments.python, __file__, "--inside", "--samples", str(arguments.samples)]
            subprocess.run(
                [*inside, "--rounds", str(arguments.rounds)],
                env=environment,
                cwd=folder,
                check=True,
            )
        finally:
            service.terminate()
            service.wait()


if __name__ == "__main__":
    main()
