"""Separate advantage streams beside the default: the same GRPO steps from the same model, seed by seed.

With `mixed`, the group's normalisation sees the mixture; with `separate`, correctness and
exploration are each normalised before alpha mixes them. Prints held-out accuracy and length of
both, and the share of flat groups.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

CHANGES = [
    "model.from_scratch=null",
    "sft=null",
    "ppo.estimator=group_norm",
    "ppo.samples_per_prompt=8",
    "ppo.rollout_batch=32",
    "ppo.critic_warmup_steps=0",
]


def train(model: Path, advantages: str, seed: int, steps: int, folder: Path) -> dict[str, Any]:
    """One run; its held-out results and the means of its last steps."""
    out = folder / f"{advantages}-{seed}"
    changes = [
        *CHANGES,
        f"model.path={model}",
        f"ppo.advantages={advantages}",
        f"ppo.steps={steps}",
        f"seed={seed}",
    ]
    command = [
        sys.executable,
        "-m",
        "rlsp_cli",
        "run",
        "quickstart",
        *changes,
        "--out",
        str(out),
        "--json",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    report = json.loads(done.stdout)["data"]
    heldout = report["evaluation"]["models"]["ppo"]["benches"]["heldout"]
    last = report["ppo"][-5:]
    return {
        "greedy": 100 * heldout["greedy"]["accuracy"]["value"],
        "sampled": 100 * heldout["sample"]["accuracy"]["value"],
        "tokens": heldout["sample"]["tokens"],
        "flat": statistics.fmean(row["reward/flat_groups"] for row in last),
        "kl": last[-1]["kl/response"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--model", type=Path, required=True, help="sft/checkpoints/final of a quickstart run"
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=24)
    arguments = parser.parse_args()
    print(f"{'advantages':10} seed  greedy %  sampled %  tokens  flat groups     KL")
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(arguments.seeds):
            for advantages in ("mixed", "separate"):
                row = train(
                    arguments.model.absolute(), advantages, seed, arguments.steps, Path(folder)
                )
                print(
                    f"{advantages:10} {seed:4} {row['greedy']:9.1f} {row['sampled']:10.1f} {row['tokens']:7.1f} "
                    f"{row['flat']:12.2f} {row['kl']:6.2f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
