"""Completions/s of our PPO against TRL's GRPOTrainer: same model folder, prompts, reward and number of completions.

Each step samples 256 completions of at most 128 tokens, 8 for each of 32 prompts, and makes 4
optimiser steps of 64. Ours runs twice: PPO with a critic of its own (the default; it trains two
models), and `group_norm`, which is the algorithm that TRL runs. The clock of each side covers its
training steps only, without imports and start-up; the first step is left out.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

STEPS = 5
HERE = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", required=True, help="an interpreter with TRL")
    parser.add_argument(
        "--model",
        required=True,
        help="a model folder, such as a quickstart's sft/checkpoints/final",
    )
    parser.add_argument("--rounds", type=int, default=3, help="runs of each side, alternating")
    arguments = parser.parse_args()
    speeds: dict[str, list[float]] = {"trl_grpo": [], "gae": [], "group_norm": []}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        _write_prompts(root / "prompts.jsonl")
        for number in range(arguments.rounds):
            speeds["trl_grpo"].append(_trl(arguments.python, arguments.model, root))
            for estimator in ("gae", "group_norm"):
                speeds[estimator].append(_ours(arguments.model, root, estimator, number))
    print(json.dumps({"completions_per_s": speeds, "ratio": _ratios(speeds), "steps": STEPS}))


def _ratios(speeds: dict[str, list[float]]) -> dict[str, float]:
    """Ours by TRL's in the same round, the median over rounds."""
    peer = speeds["trl_grpo"]
    ours = {name: column for name, column in speeds.items() if name != "trl_grpo"}
    return {
        name: round(
            statistics.median(own / other for own, other in zip(column, peer, strict=True)), 2
        )
        for name, column in ours.items()
    }


def _write_prompts(path: Path) -> None:
    from rlsp_cli.data import prompt_rows
    from rlsp_cli.recipe.load import load_recipe
    from rlsp_cli.recipe.shipped import find_recipe
    from rlsp_cli.rewards.registry import resolve_options

    prompts = load_recipe(
        find_recipe("quickstart"), ["data.prompts.rows=1000"], plugins=resolve_options
    ).data.prompts
    rows = [{"id": p.id, "problem": p.problem, "answer": p.answer} for p in prompt_rows(prompts)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def _ours(model: str, root: Path, estimator: str, number: int) -> float:
    recipe = root / f"{estimator}.yaml"
    recipe.write_text(
        f"""\
name: bench
model: {{path: {model}}}
data: {{prompts: {{source: {root}/prompts.jsonl}}}}
reward: {{alpha: 1.0, correctness: {{use: exact_match}}}}
ppo: {{steps: {STEPS}, rollout_batch: 32, samples_per_prompt: 8, train_batch: 64, micro_batch: 64,
      estimator: {estimator},
      temperature: 1.0, max_new_tokens: 128, learning_rate: 1.0e-5, critic_warmup_steps: 0, kl_coef: 0.02}}
"""
    )
    out = root / f"run-{estimator}-{number}"
    subprocess.run(
        [Path(sys.executable).parent / "rlsp", "run", recipe, "--out", out],
        check=True,
        capture_output=True,
    )
    rows = [json.loads(line) for line in (out / "ppo" / "metrics.jsonl").read_text().splitlines()][
        1:
    ]
    seconds = sum(row[f"time/{part}_s"] for row in rows for part in ("rollout", "score", "train"))
    return round(256 * len(rows) / seconds, 1)


def _trl(python: str, model: str, root: Path) -> float:
    command = [python, HERE / "trl_grpo.py", model, root / "prompts.jsonl", str(STEPS)]
    environment = {
        **os.environ,
        "TOKENIZERS_PARALLELISM": "false",
        "OMP_WAIT_POLICY": "PASSIVE",
    }  # as rlsp sets it
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return round(float(done.stdout.strip().splitlines()[-1]), 1)


if __name__ == "__main__":
    main()
