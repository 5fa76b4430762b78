"""Completions/s and peak memory of our PPO and TRL's GRPOTrainer: same model, prompts, reward and completions.

Ours runs twice: PPO with a critic of its own (the default; it trains two models), and `group_norm`,
which is the algorithm that TRL runs. Both sides compute in float32, or with `--precision default` in
the number format that each takes by itself, and with `--lora` both train adapters. The clock covers
training steps only, without imports and start-up; the first step is left out. CPU time is what a
busy machine disturbs least. Memory is the largest resident set of any process.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass
from pathlib import Path

HERE = Path(__file__).parent
_MEASURED = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:]).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)
"""
"""Runs a command; its last line is then the largest resident set among its processes, in KiB."""


@dataclass(frozen=True)
class Load:
    """The work of one run; by default that of the quickstart."""

    steps: int = 5
    prompts: int = 32
    """Prompts of a rollout, with eight completions each."""
    tokens: int = 128
    """Most tokens of a completion."""
    train_batch: int = 64
    micro_batch: int = 64
    lora: int = 0
    """The rank of adapters; 0 trains all weights."""
    precision: str = "float32"
    """float32, or default: the number format that each side takes by itself."""

    @property
    def completions(self) -> int:
        """Completions of a step."""
        return 8 * self.prompts


@dataclass(frozen=True)
class Result:
    """Completions per second, and per second of CPU time; the largest process in GiB."""

    speed: float
    cpu_speed: float
    peak: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", required=True, help="an interpreter with TRL")
    parser.add_argument(
        "--model",
        required=True,
        help="a model folder, such as a quickstart's sft/checkpoints/final",
    )
    parser.add_argument("--rounds", type=int, default=3, help="runs of each side, alternating")
    for name, default in asdict(Load()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(default), default=default)

    arguments = parser.parse_args()
    load = Load(**{name: getattr(arguments, name) for name in asdict(Load())})
    results: dict[str, list[Result]] = {"trl_grpo": [], "gae": [], "group_norm": []}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        _write_prompts(root / "prompts.jsonl")
        for number in range(arguments.rounds):
            results["trl_grpo"].append(_trl(arguments.python, arguments.model, root, load))
            for estimator in ("gae", "group_norm"):
                results[estimator].append(_ours(arguments.model, root, estimator, number, load))

    columns = {
        "completions_per_s": "speed",
        "completions_per_cpu_s": "cpu_speed",
        "peak_gib": "peak",
    }
    report = {"load": asdict(load)}
    for title, column in columns.items():
        report[title] = {
            name: [round(getattr(result, column), 3) for result in rounds]
            for name, rounds in results.items()
        }
    print(json.dumps({**report, **_ratios(results)}))


def _ratios(results: dict[str, list[Result]]) -> dict[str, dict[str, float]]:
    """Ours by TRL's in the same round, the median over rounds."""
    peer = results["trl_grpo"]
    ours = {name: rounds for name, rounds in results.items() if name != "trl_grpo"}

    def median(name: str, what: str) -> float:
        pairs = zip(ours[name], peer, strict=True)
        return round(
            statistics.median(getattr(own, what) / getattr(other, what) for own, other in pairs), 2
        )

    return {
        "speed_ratio": {name: median(name, "speed") for name in ours},
        "cpu_speed_ratio": {name: median(name, "cpu_speed") for name in ours},
        "memory_ratio": {name: median(name, "peak") for name in ours},
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


def _ours(model: str, root: Path, estimator: str, number: int, load: Load) -> Result:
    recipe = root / f"{estimator}.yaml"
    lora = f"{{rank: {load.lora}, alpha: {load.lora}}}" if load.lora else "null"
    precision = "auto" if load.precision == "default" else load.precision
    recipe.write_text(
        f"""\
name: bench
model: {{path: {model}, precision: {precision}, chat_template: none}}
data: {{template: "{{problem}}", prompts: {{source: {root}/prompts.jsonl}}}}
reward: {{alpha: 1.0, correctness: {{use: exact_match}}}}
ppo: {{steps: {load.steps}, rollout_batch: {load.prompts}, samples_per_prompt: 8, estimator: {estimator},
      train_batch: {load.train_batch}, micro_batch: {load.micro_batch}, temperature: 1.0,
      max_new_tokens: {load.tokens}, learning_rate: 1.0e-5, critic_warmup_steps: 0, kl_coef: 0.02, lora: {lora}}}
"""
    )
    out = root / f"run-{estimator}-{number}"
    rlsp = Path(sys.executable).parent / "rlsp"
    dry_run = [str(rlsp), "run", str(recipe), "--out", str(out), "--dry-run"]
    subprocess.run(dry_run, check=True, stdout=subprocess.DEVNULL)

    script = [sys.executable, str(HERE / "rlsp_ppo.py"), str(out / "ppo" / "job.json")]
    return _result([*script, str(load.completions)])


def _trl(python: str, model: str, root: Path, load: Load) -> Result:
    numbers = [str(number) for number in astuple(load)]
    script = [python, str(HERE / "trl_grpo.py"), model, str(root / "prompts.jsonl"), *numbers]
    return _result(script)


def _result(command: Sequence[str]) -> Result:
    """What the last lines of a script say, beside its peak memory."""
    # Threads that wait do not spin, as rlsp has it for its own processes.
    environment = {
        **os.environ,
        "TOKENIZERS_PARALLELISM": "false",
        "OMP_WAIT_POLICY": "PASSIVE",
    }
    measured = [sys.executable, "-c", _MEASURED, *command]
    done = subprocess.run(measured, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    speed, cpu_speed, peak_kib = map(float, done.stdout.strip().splitlines()[-3:])
    return Result(speed, cpu_speed, peak_kib / 2**20)


if __name__ == "__main__":
    main()
