"""The folder in which the commands of a page run: what pages take for granted, under the names that they give it.

`RUN` is the folder of a run and `MODEL` that of a model, as in the pages; both are as small as can be.
"""

import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.conftest import ROOT, TINY
from tests.documented.commands import Written, steps_of
from tests.documented.model import wavering_model

ANSWERS = (r"\boxed{2}", r"\boxed{4}")
"""What the models answer: the first two problems are answered right half of the time."""
_PROBLEMS, _HELD_OUT, _BENCH = (
    [
        {
            "id": str(n),
            "problem": f"What is {first + n} + {first + n}?",
            "answer": str(2 * (first + n)),
        }
        for n in range(1, 31)
    ]
    for first in (0, 40, 80)
)
_OWN = TINY.replace(
    "traces: {source: task:pair_sum, rows: 64}",
    "traces: {source: ./traces.jsonl, prompt: problem, response: solution}",
).replace("task:pair_sum, rows: 64", "./problems.jsonl")
"""The recipe of somebody with problems and traces."""
_SCORERS = """
from collections.abc import Sequence

from rlsp_cli.rewards import Sample, exploration_reward, step_scorer


@step_scorer
def steps(sample: Sample, steps: Sequence[str]) -> list[float | None]:
    return [1.0 for _ in steps]


@exploration_reward
def judge(sample: Sample) -> float:
    return float(len(sample.response))
"""

_RUNS = ("RUN", "OTHER_RUN", "RUN_A", "RUN_B", "runs/a/1")
_MODELS = ("MODEL", "MODEL_OR_RUN", "BASE")


def furnish(folder: Path, run: Path) -> None:
    """Fill an empty folder; `run` is a run of the recipe TINY."""
    for name in ("my.yaml", "recipe.yaml", "new.yaml"):
        (folder / name).write_text(_OWN)
    for name in _RUNS:
        shutil.copytree(run, folder / name)
    for name in _MODELS:
        wavering_model(folder / name, ANSWERS)

    solved = [{**row, "solution": f"The sum is \\boxed{{{row['answer']}}}."} for row in _PROBLEMS]
    for name in ("traces.jsonl", "more.jsonl", "qwq.jsonl", "data/traces.jsonl"):
        _write(folder / name, solved)
    for name in ("problems.jsonl", "data/problems.jsonl"):
        _write(folder / name, _PROBLEMS)
    for place in ("aime24", "math500", "data/aime24", "data/math500", "benches/math500"):
        _write(folder / f"{place}.jsonl", _BENCH)
    _write(folder / "data/heldout.jsonl", _HELD_OUT)
    for name in ("responses.jsonl", "samples.jsonl", "graded.jsonl", "mine.jsonl", "r.jsonl"):
        _write(folder / name, map(_judged, solved))

    (folder / "mine.py").write_text(_SCORERS)

    # Another page names the reward that plugins.md writes.
    (folder / "variety.py").write_text(_written("plugins.md", "variety.py"))


def _written(page: str, name: str) -> str:
    steps = steps_of(ROOT / "docs" / page)
    return next(step.text for step in steps if isinstance(step, Written) and step.name == name)


def _judged(row: Mapping[str, str]) -> dict[str, object]:
    told = {"prompt": row["problem"], "response": row["solution"], "reference": row["answer"]}
    return {"id": row["id"], **told, "correct": True}


def _write(file: Path, rows: Iterable[Mapping[str, object]]) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
