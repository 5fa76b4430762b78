"""`rlsp init`: a recipe for the user's own model and data."""

import json
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from rlsp_cli.cli.recipe import check
from rlsp_cli.errors import DataError, UsageError
from rlsp_cli.terminal import print

_MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"
"""The model that is offered: small enough for a CPU."""
_SUFFIXES = (".jsonl", ".json", ".csv", ".parquet")
_FILES = {"traces": "traces", "prompts": "problems", "heldout": "heldout"}
"""Role in `data` -> name of its file in a folder."""
_PURPOSE = {
    "traces": "traces to imitate, for sft",
    "prompts": "problems with answers, for ppo",
    "heldout": "problems kept out of training, for eval",
}
"""Role in `data` -> the comment above it in the recipe."""
_PROBLEM = ("problem", "question", "prompt")
_ANSWER = ("answer", "final_answer", "reference")
_SOLUTION = ("solution", "response", "completion")
"""Usual names of columns; the first that a file has is taken."""
_PLAIN = re.compile(r"[A-Za-z.][A-Za-z0-9_./@-]*[A-Za-z0-9]")


@dataclass(frozen=True)
class _Rows:
    """A file of rows as the recipe has it: its path, and the columns by their keys."""

    source: str
    columns: Mapping[str, str]


ModelName = Annotated[
    str | None, typer.Option("--model", metavar="MODEL", help="A folder, or org/name on the hub.")
]
DataPath = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="PATH",
        help="A folder with traces, problems and heldout files, or one file of problems.",
    ),
]
OnGpu = Annotated[
    bool | None, typer.Option("--gpu/--cpu", help="Train on this machine's GPU, or on its CPU.")
]


def init(
    file: Annotated[Path, typer.Argument(help="The recipe to write.")] = Path("recipe.yaml"),
    model: ModelName = None,
    data: DataPath = None,
    gpu: OnGpu = None,
) -> None:
    """Write a recipe to start from; asks three questions.

    Options answer the questions beforehand. The files in the data folder decide
    the stages (traces: SFT, problems: PPO, heldout: evaluation), and their first
    rows name the columns. They may be .jsonl, .json, .csv or .parquet.

    Example: rlsp init my.yaml --model Qwen/Qwen2.5-0.5B-Instruct --data ./data
    """
    from rlsp_cli.launch.gpus import count_gpus
    from rlsp_cli.runs.stream import write_text

    if file.exists():
        raise UsageError(f"{file}: exists already; name another file")

    if model is None:
        model = _asked("Model: a folder, or org/name on the hub", _MODEL, "--model")
    if data is None:
        question = "Data: a folder with traces, problems and heldout problems"
        data = Path(_asked(question, ".", "--data"))
    if gpu is None:
        gpu = _confirmed("Train on a GPU?", count_gpus() > 0, "--gpu or --cpu")

    # Checked at once, so that what the first run would refuse is said here.
    write_text(file, _recipe(file, model, data, gpu))
    check(str(file))
    print(f"run it:  rlsp run {file}", file=sys.stderr)


def _asked(question: str, default: str, option: str) -> str:
    # Questions go to stderr; without a terminal there is no answer, and options are the way.
    try:
        return str(typer.prompt(question, default=default, err=True))
    except typer.Abort:
        raise UsageError(f"no answer; give {option}") from None


def _confirmed(question: str, default: bool, option: str) -> bool:
    try:
        return typer.confirm(question, default=default, err=True)
    except typer.Abort:
        raise UsageError(f"no answer; give {option}") from None


def _recipe(file: Path, model: str, data: Path, gpu: bool) -> str:
    """The text of the recipe, with comments on the keys that are likely to be changed."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    from rlsp_cli.share import share

    environment = Environment(
        loader=FileSystemLoader(share("templates")),
        autoescape=False,  # YAML, not HTML: the filter `text` quotes
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["text"] = _yaml_text

    return environment.get_template("recipe.yaml.j2").render(
        name=re.sub(r"[^A-Za-z0-9._-]+", "-", file.stem),
        model=_from(file, Path(model)) if Path(model).is_dir() else model,
        data={role: _described(role, path, file) for role, path in _found(data).items()},
        purpose=_PURPOSE,
        gpus=int(gpu),
    )


def _yaml_text(text: str) -> str:
    """Text as YAML: plain where it is read as text, else in quotes."""
    is_plain = _PLAIN.fullmatch(text) and text.lower() not in ("true", "false", "null")
    return text if is_plain else json.dumps(text, ensure_ascii=False)


def _found(data: Path) -> dict[str, Path]:
    """The files of a folder by their role; a single file holds problems."""
    if data.is_file():
        return {"prompts": data}

    found: dict[str, Path] = {}
    for role, stem in _FILES.items():
        paths = [path for suffix in _SUFFIXES if (path := data / f"{stem}{suffix}").is_file()]
        if paths:
            found[role] = paths[0]
    if "traces" not in found and "prompts" not in found:
        raise UsageError(
            f"{data}: no data to train on; expected traces.jsonl (for SFT) or problems.jsonl "
            "(for PPO) in a folder, or a file of problems"
        )
    return found


def _described(role: str, path: Path, recipe: Path) -> _Rows:
    """A file with the columns of its first row; DataError where a known one is missing."""
    from rlsp_cli.data import source_rows
    from rlsp_cli.recipe.rows import Rows

    (row,) = source_rows(Rows(source=str(path.absolute()), rows=1))
    names = list(map(str, row.columns))

    # Traces are conversations, or problems with solutions; the rest are problems with answers.
    if role != "traces":
        columns = {
            "problem": _column(_PROBLEM, names, path),
            "answer": _column(_ANSWER, names, path),
        }
    elif "messages" in names:
        columns = {"messages": "messages"}
    else:
        columns = {
            "prompt": _column(_PROBLEM, names, path),
            "response": _column(_SOLUTION, names, path),
        }
    return _Rows(_from(recipe, path), columns)


def _column(known: tuple[str, ...], names: list[str], path: Path) -> str:
    for name in known:
        if name in names:
            return name

    expected = f"{', '.join(known[:-1])} or {known[-1]}"
    raise DataError(f"{path}: expected a column {expected}, found {', '.join(names)}")


def _from(recipe: Path, path: Path) -> str:
    """A path as it is written in a recipe: from the folder of the recipe."""
    # With ./ in front, since the schema takes `org/name` for a hub id.
    relative = os.path.relpath(path, recipe.parent)
    return relative if relative.startswith("..") else f"./{relative}"
