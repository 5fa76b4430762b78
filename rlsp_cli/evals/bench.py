"""Benches: sets of problems with reference answers, and where they come from."""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rlsp_cli.data import Problem, prompt_rows
from rlsp_cli.errors import DataError, NotReadyError, RecipeError
from rlsp_cli.recipe.problem import did_you_mean
from rlsp_cli.recipe.schema import Data, Eval, Prompts
from rlsp_cli.rewards.registry import Registry

BENCHES = {
    "aime24": Prompts(source="hf:HuggingFaceH4/aime_2024", split="train"),
    "math500": Prompts(source="hf:HuggingFaceH4/MATH-500", split="test", id="unique_id"),
}


@dataclass(frozen=True)
class Bench:
    """Problems under a name; `source` says where they were read."""

    name: str
    problems: Sequence[Problem]
    source: str

    @property
    def digest(self) -> str:
        """SHA-256 of ids, problems and answers: equal digests mean equal benches."""
        rows = [[problem.id, problem.problem, problem.answer] for problem in self.problems]
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def load_bench(name: str, settings: Eval, data: Data, registry: Registry, files: Sequence[str] = ()) -> Bench:
    """A bench by name: `heldout` from the recipe, the others from `eval.data`, RLSP_DATA_DIR or the hub."""
    prompts = bench_prompts(name, settings, data)
    try:
        problems = prompt_rows(prompts, registry, files)
    except NotReadyError as error:
        raise NotReadyError(
            f"bench {name}: {error} (--data FILE, or a folder with {name}.jsonl in RLSP_DATA_DIR)"
        ) from error
    _refuse_twins(prompts, problems)
    return Bench(name, problems[: settings.limit], prompts.source)


def bench_prompts(name: str, settings: Eval, data: Data) -> Prompts:
    """Where `load_bench` reads a bench; RecipeError for an unknown name, NotReadyError for a folder without it."""
    if name == "heldout" and data.heldout is not None:
        return data.heldout
    if name in BENCHES:
        return _local(name, settings) or BENCHES[name]
    raise RecipeError(f"unknown bench {name!r} - {did_you_mean(name, [*BENCHES, 'heldout'])}")


def _refuse_twins(prompts: Prompts, problems: Sequence[Problem]) -> None:
    """Responses are kept by problem id, so two problems of one id would be counted as one."""
    counts = Counter(problem.id for problem in problems)
    twins = [id for id, n in counts.items() if n > 1]
    if twins:
        raise DataError(
            f"{prompts.source}: {counts[twins[0]]} problems have the id {twins[0]!r} (column {prompts.id!r}), and "
            f"{len(twins) - 1} more ids are shared; ids must differ"
        )


def _local(name: str, settings: Eval) -> Prompts | None:
    """The bench in a file that was named, or in a folder where it lies; a folder that was named must have it."""
    if settings.data is not None and Path(settings.data).is_file():
        return Prompts(source=settings.data)
    for folder, must in ((settings.data, True), (os.environ.get("RLSP_DATA_DIR"), False)):
        if folder is None:
            continue
        file = Path(folder) / f"{name}.jsonl"
        if file.is_file():
            return Prompts(source=str(file))
        if must:
            raise NotReadyError(f"bench {name}: {file} does not exist; name the file itself by --data FILE")
    return None
