"""The files of a run folder that say how it was made and what came out, without texts of problems."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rlsp_cli.backends import STAGES
from rlsp_cli.pack.index import Packed
from rlsp_cli.runs.paths import RunPaths, StagePaths
from rlsp_cli.runs.stream import read_json

_DOCUMENTS = ("recipe.yaml", "resolved.yaml", "manifest.json", "status.json", "rounds.json")
_OF_TRACES = "numbers.json"
_QUOTED = ("first", "likely_first")
"""Keys of a contamination that quote a problem."""
_LEFT_OUT = "(left out)"


def run_files(root: Path) -> Iterator[Packed]:
    """The files of a run and of its rounds, by names below `run/`."""
    for folder in (root, *sorted(root.glob("round-*"))):
        for file in _files(RunPaths(folder)):
            name = f"run/{file.relative_to(root).as_posix()}"
            yield Packed(name, "run", _content(file))


def _files(paths: RunPaths) -> Iterator[Path]:
    named = [paths.root / name for name in _DOCUMENTS]
    named += sorted(paths.extended.glob("*"))
    for stage in (*STAGES, "traces"):
        named += _of_stage(paths.stage(stage))
    yield from (file for file in named if file.is_file())


def _of_stage(paths: StagePaths) -> list[Path]:
    """The compiled job with its files, metrics and results."""
    compiled = []
    if paths.job.is_file():
        names = read_json(paths.job)["data"].get("files", ())
        compiled = [paths.job, *(paths.root / name for name in names)]
    return [*compiled, paths.metrics, paths.results, paths.root / _OF_TRACES]


def _content(file: Path) -> bytes:
    if file.name != "results.json":
        return file.read_bytes()
    quiet = _without_texts(read_json(file))
    return (json.dumps(quiet, indent=2, ensure_ascii=False) + "\n").encode()


def _without_texts(node: Any, within: str = "") -> Any:
    """Results without the problems that they quote: first prompts, and copies found in training."""
    if isinstance(node, list):
        return [_without_texts(item, within) for item in node]
    if not isinstance(node, dict):
        return node

    found = {}
    for key, value in node.items():
        is_quote = within == "contaminated" and key in _QUOTED and value is not None
        inner = within if within == "contaminated" else key
        found[key] = _LEFT_OUT if is_quote else _without_texts(value, inner)
    return found | ({"first_prompt": None} if "first_prompt" in found else {})
