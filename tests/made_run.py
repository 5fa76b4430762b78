"""A run that nobody trained: its files as a training and an evaluation write them, of any size."""

import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from rlsp_cli.evals.answer import Scored
from rlsp_cli.recipe.load import load_recipe
from rlsp_cli.rewards.plain import rollout_row
from rlsp_cli.rewards.registry import resolve_options
from rlsp_cli.rewards.sample import Sample, SampleScore, Score
from rlsp_cli.runs.paths import RunPaths
from rlsp_cli.runs.run import create_run
from rlsp_cli.runs.stream import append_rows

WORDS = [
    "so",
    "let me verify,",
    "alternatively",
    "7 + 3",
    "=",
    "10,",
    "which is",
    "the sum",
    "of both",
]
GROUP = 4


def made_run(recipe: Path, root: Path) -> RunPaths:
    """A run that has not started."""
    return create_run(load_recipe(recipe, plugins=resolve_options), recipe, root).paths


def add_steps(run: RunPaths, steps: range, responses: int = 10, words: int = 40) -> None:
    """Steps of a PPO: a row of metrics, and `responses` rollouts of so many words each."""
    for step in steps:
        rows = list(islice(_rollouts(step, words), responses))
        append_rows(run.stage("ppo").rollouts, rows)
        append_rows(run.stage("ppo").metrics, [_metrics(step)])


def rollout(
    step: int, id: str, response: str, right: bool, reason: str = "", **sample: Any
) -> dict[str, Any]:
    """A row of rollouts.jsonl."""
    correctness = Score("exact_match", "value", float(right), "10", reason or None)
    length = Score("length", "value", len(response) / 1000)
    reward = 0.8 * right + 0.2 * len(response) / 1000
    whole = Sample(f"What is 7 + 3? ({id})", response, "10", id, num_tokens=len(response) // 4)
    score = SampleScore(correctness, (length,), reward)
    return rollout_row(step, replace(whole, **sample), score)


def add_samples(run: RunPaths, model: str, bench: str, values: dict[str, float]) -> None:
    """Greedy responses of a model to problems, by their ids and verdicts."""
    rows = [
        Scored(
            id=id,
            kind="greedy",
            response=f"{model} says {value:g}",
            problem=f"Problem {id}?",
            reference="1",
            num_tokens=3,
            correctness=Score("exact_match", "value", value, f"{value:g}"),
        ).to_json()
        for id, value in values.items()
    ]
    append_rows(run.stage("eval").answers(model, bench).samples, rows)


def _rollouts(step: int, words: int) -> Iterator[dict[str, Any]]:
    chance, number = random.Random(step), 0
    while True:
        text = " ".join(chance.choices(WORDS, k=words)) + r". \boxed{10}"
        yield rollout(step, f"p{step}-{number // GROUP}", text, chance.random() < 0.5)
        number += 1


def _metrics(step: int) -> dict[str, Any]:
    chance = random.Random(step)
    wrong_over_right = 0.3 if step >= 20 else 0.0
    return {
        "step": step,
        "total_steps": 1000,
        "reward/mean": 0.4 + 0.1 * chance.random(),
        "reward/std": 0.2,
        "reward/wrong_over_right": wrong_over_right,
        "correctness/mean": 0.3 + min(step, 500) / 1000 + 0.1 * chance.random(),
        "exploration/length/mean": chance.random() - 0.5,
        "response/tokens": 60 + 10 * chance.random(),
        "kl/response": 0.01 * min(step, 100),
    }
