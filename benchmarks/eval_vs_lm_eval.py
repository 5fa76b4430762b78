"""Responses/s of `rlsp eval` with its embedded engine and of lm-eval with its hf backend: same model, prompts, limits.

Both decode greedily on the CPU in float32, 64 responses at a time, and score by string equality. In
one setting every response has the same length (MATH-500's problems, and a model with random weights
that never ends), in the other the responses end when they end (the quickstart's problems and a
model that it trained). Sides alternate; ratios are of rounds, of wall time and of CPU time. `whole`
is the command from start to exit; `decoding` is that less the same command with one problem, which
is its imports, model and reports. Responses are compared word by word: other words would make
another race.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from rlsp_cli.data import prompt_rows
from rlsp_cli.engine.model import new_model
from rlsp_cli.recipe.load import load_recipe
from rlsp_cli.recipe.model import FromScratch
from rlsp_cli.recipe.shipped import find_recipe
from rlsp_cli.rewards.registry import resolve_options

PROBLEMS = 256
BATCH = 64
LONGEST = 128


class Cost(NamedTuple):
    """Seconds of a command."""

    wall: float
    cpu: float


@dataclass(frozen=True)
class Setting:
    """A model folder, and a folder with problems.jsonl, bench.yaml and lm-eval's task `speed`."""

    name: str
    model: Path
    folder: Path
    problems: int


def one_length(root: Path, data: Path) -> Setting:
    """MATH-500 and a model of random weights that knows all its words."""
    rows = [json.loads(line) for line in data.open(encoding="utf-8")][:PROBLEMS]
    spec = FromScratch(hidden_size=128, intermediate_size=384, num_layers=3, max_length=2048)
    model, tokenizer = new_model(spec, (row["problem"] for row in rows), seed=0)
    model.save_pretrained(root / "random")
    tokenizer.save_pretrained(root / "random")
    return setting(
        "one length",
        root / "random",
        root / "one",
        [(row["problem"], row["answer"]) for row in rows],
    )


def mixed_lengths(root: Path, model: Path) -> Setting:
    """Problems of the quickstart and a model that it trained."""
    recipe = load_recipe(
        find_recipe("quickstart"), [f"data.prompts.rows={4 * PROBLEMS}"], plugins=resolve_options
    )
    rows = [(row.problem, row.answer) for row in prompt_rows(recipe.data.prompts)]
    return setting("mixed lengths", model.absolute(), root / "mixed", rows)


def setting(name: str, model: Path, folder: Path, rows: Sequence[tuple[str, str]]) -> Setting:
    folder.mkdir()
    problems = [
        {"id": str(i), "problem": problem, "answer": answer}
        for i, (problem, answer) in enumerate(rows)
    ]
    (folder / "problems.jsonl").write_text("".join(json.dumps(row) + "\n" for row in problems))
    (folder / "bench.yaml").write_text(
        f"""\
name: speed
description: The problems of a race.
problems: {len(rows)}
source: ./problems.jsonl
prompt: {{origin: bare}}
verifier: {{use: exact_match}}
protocol: {{samples: 0, max_new_tokens: {LONGEST}}}
"""
    )
    (folder / "speed.yaml").write_text(
        f"""\
task: speed
dataset_path: json
dataset_kwargs: {{data_files: {{test: {folder}/problems.jsonl}}}}
test_split: test
output_type: generate_until
doc_to_text: problem
doc_to_target: answer
generation_kwargs: {{until: [], do_sample: false, max_gen_toks: {LONGEST}}}
metric_list: [{{metric: exact_match, aggregation: mean, higher_is_better: true}}]
"""
    )
    return Setting(name, model, folder, len(rows))


def ours(race: Setting, out: Path, limit: int) -> Cost:
    command = [
        Path(sys.executable).parent / "rlsp",
        "eval",
        race.model,
        "--bench",
        race.folder / "bench.yaml",
    ]
    return run([*command, f"eval.limit={limit}", "--out", out], race.folder)


def lm_eval(python: str, race: Setting, out: Path, limit: int) -> Cost:
    command = [
        *(Path(python).absolute(), "-m", "lm_eval", "run", "--model", "hf", "--device", "cpu"),
        *("--model_args", f"pretrained={race.model},dtype=float32", "--batch_size", str(BATCH)),
        *("--tasks", "speed", "--include_path", race.folder, "--limit", str(limit)),
        *("--output_path", out, "--log_samples"),
    ]
    return run(command, race.folder)


def run(command: Sequence[str | Path], folder: Path) -> Cost:
    quiet = {"TOKENIZERS_PARALLELISM": "false", "OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1"}
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, **quiet}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(time.perf_counter() - began, cpu)


def our_responses(out: Path) -> list[str]:
    (file,) = out.rglob("samples.jsonl")
    rows = {row["id"]: row["response"] for row in map(json.loads, file.open(encoding="utf-8"))}
    return [rows[id].strip() for id in sorted(rows, key=int)]


def their_responses(out: Path) -> list[str]:
    (file,) = out.rglob("samples_speed_*.jsonl")
    rows = {
        row["doc_id"]: row["resps"][0][0] for row in map(json.loads, file.open(encoding="utf-8"))
    }
    return [rows[id].strip() for id in sorted(rows)]


def race(python: str, setting: Setting, rounds: int, root: Path) -> None:
    sides: dict[str, Callable[[Path, int], Cost]] = {
        "lm-eval": lambda out, limit: lm_eval(python, setting, out, limit),
        "rlsp": lambda out, limit: ours(setting, out, limit),
    }
    whole: dict[str, list[Cost]] = {side: [] for side in sides}
    start: dict[str, list[Cost]] = {side: [] for side in sides}
    for number in range(rounds):
        for side, command in sides.items():
            out = root / f"{setting.folder.name}-{side}-{number}"
            start[side].append(command(out.with_name(f"{out.name}-one"), 1))
            whole[side].append(command(out, setting.problems))
    same(setting, root)
    for clock in Cost._fields:
        times = {side: [getattr(cost, clock) for cost in costs] for side, costs in whole.items()}
        first = {side: [getattr(cost, clock) for cost in costs] for side, costs in start.items()}
        net = {
            side: [a - b for a, b in zip(times[side], first[side], strict=True)] for side in sides
        }
        tell(f"{setting.name}, {clock}, whole", setting.problems, times)
        tell(f"{setting.name}, {clock}, decoding", setting.problems, net)


def tell(what: str, problems: int, times: Mapping[str, Sequence[float]]) -> None:
    speeds = {
        side: round(problems / statistics.median(column), 1) for side, column in times.items()
    }
    ratios = [theirs / own for theirs, own in zip(times["lm-eval"], times["rlsp"], strict=True)]
    middle, low, high = statistics.median(ratios), min(ratios), max(ratios)
    print(
        f"{what}: responses/s {speeds}, rlsp is {middle:.2f}x ({low:.2f} to {high:.2f})", flush=True
    )


def same(setting: Setting, root: Path) -> None:
    """How many responses both sides have word by word, and how long they are."""
    own = our_responses(root / f"{setting.folder.name}-rlsp-0")
    theirs = their_responses(root / f"{setting.folder.name}-lm-eval-0")
    equal = sum(left == right for left, right in zip(own, theirs, strict=True))
    lengths = {
        side: [len(text.split()) for text in texts]
        for side, texts in (("rlsp", own), ("lm-eval", theirs))
    }
    print(f"{setting.name}: {equal} of {len(own)} responses are equal;", end=" ")
    print(
        "words:",
        {
            side: (min(column), statistics.mean(column), max(column))
            for side, column in lengths.items()
        },
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--python", required=True, help="an interpreter with lm-eval and this environment's torch"
    )
    parser.add_argument(
        "--model", type=Path, required=True, help="a quickstart's sft/checkpoints/final"
    )
    parser.add_argument("--data", type=Path, required=True, help="MATH-500 as JSON Lines")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each side, alternating")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for setting in (one_length(root, arguments.data), mixed_lengths(root, arguments.model)):
            race(arguments.python, setting, arguments.rounds, root)


if __name__ == "__main__":
    main()
