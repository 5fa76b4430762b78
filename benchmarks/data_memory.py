"""Peak memory and time of what reads training data: `rlsp check` and `rlsp data`, SFT's set-up, and other backends'.

Makes `--rows` traces of about `--tokens` tokens each, as many prompts, and a model of one layer with
the tokenizer of `--tokenizer`. Each step runs in a process of its own; `sft` is the whole command
with one optimiser step, and `sft again` a second run on the same data. Axolotl and OpenRLHF need not
be installed: their set-up is code of rlsp.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

STEPS = (
    "check",
    "data check",
    "data clean",
    "data traces",
    "sft",
    "sft again",
    "axolotl set-up",
    "openrlhf set-up",
)
TOKENS_PER_TRY = 29
"""Tokens of one sentence of a solution in SmolLM2's tokenizer; digits are tokens of their own."""
HELDOUT = 500

RECIPE = """\
schema_version: 1
name: data-memory
model: {path: model}
data:
  traces: {source: traces.jsonl}
  prompts: {source: prompts.jsonl}
  heldout: {source: heldout.jsonl}
reward: {correctness: {use: exact_match}}
sft: {max_steps: 1, batch: 1, micro_batch: 1, max_length: 4096, val_rows: 10}
ppo: {backend: openrlhf, rollout_batch: 128, train_batch: 128, max_prompt_tokens: 512}
eval: {benches: [heldout]}
cluster: {gpus_per_node: 0}
"""

SETUP = """\
import sys
from pathlib import Path
from rlsp_cli.backends.job_step import JobStep
from rlsp_cli.backends.{backend}.setup import setup
from rlsp_cli.recipe.load import load_recipe
from rlsp_cli.rewards.registry import resolve_options
from rlsp_cli.runs.paths import RunPaths

recipe = load_recipe(Path("recipe.yaml"), {overrides!r}, plugins=resolve_options)
setup(JobStep(recipe, RunPaths(Path({folder!r})), {{"resume": None, "model": "model"}}))
"""


def problem(random: Random, number: int) -> str:
    """A problem of about 60 tokens that no other row has."""
    numbers = ", ".join(str(random.randint(10, 99)) for _ in range(6))
    return (
        f"Problem {number}: among the numbers {numbers}, which two of them, added together, make "
        f"{random.randint(20, 198)}? Say both, or none if no two of them do."
    )


def solution(random: Random, tokens: int) -> str:
    """A long search in words, with its answer in a box."""
    tries = []
    for _ in range(tokens // TOKENS_PER_TRY):
        a, b = random.randint(10, 99), random.randint(10, 99)
        tries.append(f"Let me try {a} + {b} = {a + b}, which is not what is asked for, so I go on.")
    return "<think>\n" + "\n".join(tries) + "\n</think>\n\n\\boxed{none}"


def traces(rows: int, tokens: int) -> Iterator[dict[str, str]]:
    """Rows of traces.jsonl."""
    random = Random(0)
    for number in range(rows):
        asked = problem(random, number)
        yield {"problem": asked, "solution": solution(random, tokens), "answer": "none"}


def problems(rows: int, seed: int) -> Iterator[dict[str, str]]:
    """Rows of prompts.jsonl and heldout.jsonl."""
    random = Random(seed)
    for number in range(rows):
        yield {"id": str(number), "problem": problem(random, number), "answer": "none"}


def write(path: Path, rows: Iterator[dict[str, str]]) -> None:
    """Write JSON Lines, unless they are there."""
    if not path.exists():
        with path.open("w") as stream:
            stream.writelines(json.dumps(row) + "\n" for row in rows)


def make_model(folder: Path, tokenizer: str) -> None:
    """A model of one layer, with the tokenizer of another."""
    if folder.exists():
        return
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    reader = AutoTokenizer.from_pretrained(tokenizer)
    config = LlamaConfig(
        vocab_size=len(reader),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=16384,
        eos_token_id=reader.eos_token_id,
        pad_token_id=reader.pad_token_id,
        tie_word_embeddings=True,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    reader.save_pretrained(folder)


def command(step: str, folder: Path) -> list[str]:
    """The command line of a step."""
    rlsp = [sys.executable, "-m", "rlsp_cli"]
    if step == "check":
        return [*rlsp, "check", "recipe.yaml"]
    if step.startswith("data"):
        _, name = step.split()
        against = [] if name == "traces" else ["--against", "recipe.yaml"]
        out = [] if name == "check" else ["--out", f"{name}-{time.time_ns()}.jsonl"]
        return [*rlsp, "data", name, "traces.jsonl", *against, *out]
    if step.startswith("sft"):
        run = folder / "runs" / f"{step.replace(' ', '-')}-{time.time_ns()}"
        return [*rlsp, "sft", "recipe.yaml", "--out", str(run)]

    backend = step.partition(" ")[0]
    overrides = ["sft.backend=axolotl"] if backend == "axolotl" else []
    code = SETUP.format(backend=backend, overrides=overrides, folder=f"runs/{backend}")
    return [sys.executable, "-c", code]


def measure(argv: list[str], folder: Path) -> dict[str, float]:
    """Seconds of wall and CPU time, and the largest resident set of any of its processes in MiB."""
    environment = {**os.environ, "RLSP_CACHE_DIR": str((folder / "cache").resolve())}
    began = time.perf_counter()
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(argv, cwd=folder, stdout=log, stderr=log, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(argv)}: exit status {status}; see {folder / 'log'}")
    return {
        "wall_s": round(time.perf_counter() - began, 1),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 1),
        "peak_mib": round(usage.ru_maxrss / 1024),
    }


def main() -> None:
    """One line of JSON for each step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokenizer", required=True, help="folder or hub id of a tokenizer")
    parser.add_argument("--folder", type=Path, required=True, help="where data and runs are put")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--tokens", type=int, default=1500)
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=STEPS)
    options = parser.parse_args()

    folder = options.folder
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / "traces.jsonl", traces(options.rows, options.tokens))
    write(folder / "prompts.jsonl", problems(options.rows, seed=1))
    write(folder / "heldout.jsonl", problems(HELDOUT, seed=2))
    make_model(folder / "model", options.tokenizer)
    (folder / "recipe.yaml").write_text(RECIPE)

    size = (folder / "traces.jsonl").stat().st_size
    print(json.dumps({"rows": options.rows, "traces_mib": round(size / 2**20)}))
    for step in options.steps:
        print(json.dumps({"step": step, **measure(command(step, folder), folder)}), flush=True)


if __name__ == "__main__":
    main()
