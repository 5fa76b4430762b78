"""`rlsp init`: a recipe for a model and data of one's own."""

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
_SUFFIXES = (".jsonl", ".json", ".csv", ".parquet")
_FILES = {"traces": "traces", "prompts": "problems", "heldout": "heldout"}
"""Role in `data` -> name of its file in a folder."""
_PURPOSE = {
    "traces": "demonstrations, for sft",
    "prompts": "problems with answers, for ppo",
    "heldout": "problems kept out of training, for eval",
}
_PROBLEM = ("problem", "question", "prompt")
_ANSWER = ("answer", "final_answer", "reference")
_SOLUTION = ("solution", "response", "completion")
_PLAIN = re.compile(r"[A-Za-z.][A-Za-z0-9_./@-]*[A-Za-z0-9]")


@dataclass(frozen=True)
class _Rows:
    """What a recipe says of a file of rows: its path as written there, and the columns by their keys."""

    source: str
    columns: Mapping[str, str]


def init(
    file: Annotated[Path, typer.Argument(help="The recipe to write.")] = Path("recipe.yaml"),
    model: Annotated[str | None, typer.Option(help="A folder, or org/name on the hub.")] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="A folder with traces, problems or heldout (.jsonl, .json, .csv, .parquet); or a file of problems."
        ),
    ] = None,
    gpu: Annotated[
        bool | None, typer.Option("--gpu/--cpu", help="Train on a GPU of this machine.")
    ] = None,
) -> None:
    """Write a recipe to start from; asks three questions.

    Options answer the questions beforehand. What the data folder holds decides
    the stages, and the first row of each file names the columns.

    Example: rlsp init my.yaml --model Qwen/Qwen2.5-0.5B-Instruct --data ./data --cpu
    """
    from rlsp_cli.launch.gpus import count_gpus
    from rlsp_cli.runs.stream import write_text

    if file.exists():
        raise UsageError(f"{file}: exists already; name another file")

    if model is None:
        model = _asked("Model: a folder, or org/name on the hub", _MODEL, "--model")
    if data is None:
        data = Path(
            _asked("Data: a folder with traces, problems and heldout problems", ".", "--data")
        )
    if gpu is None:
        gpu = _confirmed("Train on a GPU?", count_gpus() > 0, "--gpu or --cpu")

    write_text(file, _recipe(file, model, data, gpu))
    check(str(file))
    print(f"run it:  rlsp run {file}", file=sys.stderr)


def _asked(question: str, default: str, option: str) -> str:
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
    """The text of the recipe, with a comment on what is likely to be changed."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    from rlsp_cli.share import share

    environment = Environment(
        loader=FileSystemLoader(share("templates")),
        autoescape=False,
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
    """The files of a folder by their role; a file that is named itself holds problems."""
    if data.is_file():
        return {"prompts": data}

    found: dict[str, Path] = {}
    for role, stem in _FILES.items():
        paths = [path for suffix in _SUFFIXES if (path := data / f"{stem}{suffix}").is_file()]
        if paths:
            found[role] = paths[0]
    if "traces" not in found and "prompts" not in found:
        raise UsageError(
            f"{data}: no data to train on; expected traces.jsonl (for SFT) or problems.jsonl (for PPO) in a folder, "
            "or a file of problems"
        )
    return found


def _described(role: str, path: Path, recipe: Path) -> _Rows:
    """The columns that the first row has; DataError where no known one is among them."""
    from rlsp_cli.data import source_rows
    from rlsp_cli.recipe.schema import Rows

    row = source_rows(Rows(source=str(path.absolute()), rows=1))[0]
    names = list(map(str, row.columns))
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
    raise DataError(
        f"{path}: expected a column {', '.join(known[:-1])} or {known[-1]}, found {', '.join(names)}"
    )


def _from(recipe: Path, path: Path) -> str:
    """A path as it is written in a recipe: from the folder of the recipe."""
    relative = os.path.relpath(path, recipe.parent)
    return relative if relative.startswith("..") else f"./{relative}"
