"""What does a trained process reward model find? Planted errors, and the true values of a toy process.

First part: each seed trains the quickstart's SFT model, and from it a process reward model on
demonstrations of `pair_sum` in which sums are wrong at known steps. On held-out demonstrations the
first step with a probability of right below one half is its first error (ProcessBench's F1, arXiv
2412.06559). --sft names a folder with SFT models of the seeds, `SEED/sft`, to begin from.

Second part: a process of good and bad states whose true step values can be computed
(tests/toy_process.py). Each seed trains on hard and on soft Monte-Carlo labels of K completions,
and is asked for the values of all states. What is in --out already is not run again.
"""

import argparse
import json
import math
import random
import re
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from exploration import run_rlsp

from rlsp_cli.data import LabelledSteps, step_rows
from rlsp_cli.engine.model import load_model, load_tokenizer
from rlsp_cli.engine.step_examples import encode_steps
from rlsp_cli.evals.scorer_benches.first_error import combined, harmonic
from rlsp_cli.evals.statistics import Estimate, mean_share
from rlsp_cli.recipe.rows import RowUse, StepRows

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.toy_process import PROMPT, ToyProcess

_SUM = re.compile(r"(\d+) \+ (\d+) = (\d+)")
_RECIPE = "process/pair_sum_prm"
_HELDOUT = StepRows(
    source="task:pair_sum",
    split="test",
    rows=400,
    options={"largest": 12, "give_up": 0.2},
    row=RowUse(use="planted_errors"),
)
_TOY = ToyProcess(length=8, slip=0.1, mend=0.05)
_TOY_MODEL = (
    "model.from_scratch={hidden_size: 32, num_layers: 2, num_heads: 2, intermediate_size: 64,"
    " max_length: 64}"
)
_COMPLETIONS = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--sft", type=Path)
    arguments = parser.parse_args()

    seeds = range(arguments.seeds)
    models = [_trained(arguments.out / str(seed), seed, arguments.sft) for seed in seeds]
    print(_planted_errors(models), _toy_values(arguments.out, seeds), sep="\n\n")


def _trained(folder: Path, seed: int, given: Path | None) -> Path:
    """The process reward model of a seed."""
    start = (given or folder.parent) / str(seed) / "sft" / "sft" / "checkpoints" / "final"
    if not start.exists():
        run_rlsp("sft", "quickstart", f"seed={seed}", out=folder / "sft")

    final = folder / "prm" / "sft" / "checkpoints" / "final"
    if not final.exists():
        model = ("model.from_scratch=null", f"model.path={start}", f"seed={seed}")
        run_rlsp("sft", _RECIPE, *model, out=folder / "prm")
    return final


def probabilities(folder: Path, rows: Sequence[LabelledSteps]) -> list[list[float]]:
    """The probability that each step is right, by the model in a folder."""
    model = load_model(str(folder), torch.device("cpu"), head="steps").eval()
    found = []
    for example in encode_steps(rows, "\n", load_tokenizer(str(folder))):
        with torch.no_grad():
            logits = model(torch.tensor([example.tokens])).logits[0]
        found.append(logits[example.ends].softmax(-1)[:, 1].tolist())
    return found


@dataclass(frozen=True)
class Found:
    """Whether the first error of each wrong chain was found, and none in each right one."""

    wrong: list[float]
    right: list[float]

    @property
    def shares(self) -> list[Estimate]:
        """Of wrong chains, of right chains, and F1."""
        shares = [mean_share(self.wrong), mean_share(self.right)]
        return [*shares, combined(harmonic, shares)]


def _planted_errors(models: Sequence[Path]) -> str:
    rows = list(step_rows(_HELDOUT))
    seeds = [_found(rows, probabilities(model, rows)) for model in models]
    lines = [
        "| seed | first error found, wrong chains | no error found, right chains | F1 |",
        "|---|---|---|---|",
        *(f"| {seed} | {_cells(found)} |" for seed, found in enumerate(seeds)),
    ]

    # The chains are what is drawn, and those of all seeds are the same.
    means = Found(_means([one.wrong for one in seeds]), _means([one.right for one in seeds]))
    lines.append(f"| all | {_cells(means)} |")
    chains = f"{len(means.wrong)} chains with errors and {len(means.right)} without."
    return "\n".join([*lines, "", chains, _by_kind(rows, means.wrong)])


def _by_kind(rows: Sequence[LabelledSteps], found: Sequence[float]) -> str:
    """How often wrong sums are found, and wrong comparisons with the target."""
    wrong = [row.steps[row.labels.index(0.0)] for row in rows if 0.0 in row.labels]
    sums = [_SUM.match(step) for step in wrong]
    hits: dict[bool, list[float]] = {True: [], False: []}
    for one, hit in zip(sums, found, strict=True):
        hits[bool(one and int(one[1]) + int(one[2]) != int(one[3]))].append(hit)

    shares = [mean_share(hits[is_sum]) for is_sum in (True, False)]
    cells = [f"{one.value:.3f} [{one.low:.3f}, {one.high:.3f}]" for one in shares]
    return f"Found: {cells[0]} of wrong sums, {cells[1]} of wrong comparisons."


def _found(rows: Sequence[LabelledSteps], scores: Sequence[Sequence[float]]) -> Found:
    wrong, right = [], []
    for row, probability in zip(rows, scores, strict=True):
        said = next((n for n, value in enumerate(probability) if value < 0.5), None)
        true = row.labels.index(0.0) if 0.0 in row.labels else None
        (right if true is None else wrong).append(float(said == true))
    return Found(wrong, right)


def _means(seeds: Sequence[Sequence[float]]) -> list[float]:
    return [statistics.fmean(values) for values in zip(*seeds, strict=True)]


def _cells(found: Found) -> str:
    return " | ".join(f"{one.value:.3f} [{one.low:.3f}, {one.high:.3f}]" for one in found.shares)


def _toy_values(out: Path, seeds: Sequence[int]) -> str:
    lines = ["| labels | error of the labels | error of the head, by seed |", "|---|---|---|"]
    for kind in ("hard", "soft"):
        errors, of_labels = [], []
        for seed in seeds:
            rows = list(_walks(3000, seed, kind))
            of_labels.append(_error((row, list(row.labels)) for row in rows))
            model = _toy_model(out / "toy" / kind / str(seed), rows, seed)
            asked = list(_walks(500, seed + 1000, kind))
            errors.append(_error(zip(asked, probabilities(model, asked), strict=True)))
        shown = ", ".join(f"{error:.3f}" for error in errors)
        lines.append(f"| {kind} | {statistics.fmean(of_labels):.3f} | {shown} |")
    return "\n".join(lines)


def _walks(count: int, seed: int, kind: str) -> Iterator[LabelledSteps]:
    """Responses of the toy process, with Monte-Carlo labels of their steps."""
    chance = random.Random(f"{seed}:{kind}")
    for sample in _TOY.samples(count, seed):
        steps = tuple(sample.response.split())
        labels = []
        for number in range(len(steps)):
            value = _TOY.value("\n".join(steps[: number + 1]))
            right = sum(chance.random() < value for _ in range(_COMPLETIONS))
            labels.append(float(right > 0) if kind == "hard" else right / _COMPLETIONS)
        yield LabelledSteps(PROMPT.strip(), steps, tuple(labels))


def _toy_model(folder: Path, rows: Sequence[LabelledSteps], seed: int) -> Path:
    final = folder / "run" / "sft" / "checkpoints" / "final"
    if not final.exists():
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "steps.jsonl"
        lines = (
            {"prompt": row.prompt, "completions": row.steps, "labels": row.labels} for row in rows
        )
        file.write_text("".join(json.dumps(line) + "\n" for line in lines))
        steps = f"data.steps={{source: {file}, row: null, rows: null}}"
        rate = "sft.learning_rate=3.0e-3", "sft.schedule=cosine"
        settings = (_TOY_MODEL, f"seed={seed}", *rate, "sft.max_steps=200", "sft.val_rows=0")
        run_rlsp("sft", _RECIPE, steps, *settings, out=folder / "run")
    return final


def _error(pairs: Iterator[tuple[LabelledSteps, Sequence[float | None]]]) -> float:
    """Root of the mean square of what is missing to the true values."""
    squares = []
    for row, said in pairs:
        for number, value in enumerate(said):
            true = _TOY.value("\n".join(row.steps[: number + 1]))
            squares.append(((value or 0.0) - true) ** 2)
    return math.sqrt(statistics.fmean(squares))


if __name__ == "__main__":
    main()
