"""What is known of a bench on this machine, without asking the hub."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlsp_cli.errors import NotReadyError
from rlsp_cli.evals.benches.bench import content_digest
from rlsp_cli.evals.benches.bench_file import BenchFile, bench_path, find_bench
from rlsp_cli.evals.benches.benches import Benches
from rlsp_cli.recipe.eval import Eval


@dataclass(frozen=True)
class Inspection:
    """A bench's file and where its data is; if that is on this machine, digest and first prompt."""

    file: BenchFile
    path: Path
    where: str
    digest: str | None = None
    changed: bool | None = None
    first_prompt: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        # Flat, with the keys of the bench's own file, as a person would write them.
        seen = {key: value for key, value in vars(self).items() if key not in ("file", "path")}
        return {"file": str(self.path), **self.file.model_dump(mode="json"), **seen}


def where(name: str, data: Path | None = None) -> str:
    """The source that `rlsp eval` would read: a file, a task or the hub.

    `none: ` and what is missing, if there is none.
    """
    try:
        return _benches(data).prompts(name).source
    except NotReadyError as error:
        return f"none: {error}"


def inspect(name: str, data: Path | None = None) -> Inspection:
    """What is known of a bench.

    RecipeError for an unknown one, DataError for data that is not the bench's.
    """
    file, path, place = find_bench(name), bench_path(name), where(name, data)

    # `rlsp benches show` must not start a download.
    if place.startswith(("hf:", "none: ")):
        return Inspection(file, path, place)

    bench = _benches(data).load(name)
    digest, first_prompt = content_digest(bench.problems), bench.ask(bench.problems[0].problem)
    return Inspection(file, path, place, digest, bench.changed, first_prompt)


def _benches(data: Path | None) -> Benches:
    return Benches(Eval(data=str(data) if data else None))
