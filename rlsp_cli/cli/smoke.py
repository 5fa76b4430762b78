"""`rlsp smoke`: a recipe tried with a tiny model before it is trained."""

import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rlsp_cli.cli.checks import refuse_failed, show_checks
from rlsp_cli.cli.options import Json, Overrides, RecipeArgument
from rlsp_cli.cli.output import console, print_json, print_table
from rlsp_cli.errors import UsageError
from rlsp_cli.terminal import print

if TYPE_CHECKING:
    from rlsp_cli.smoke import Smoke

SmokeOut = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="FOLDER",
        help="Folder that keeps the run; by default a temporary one, deleted if no check fails.",
    ),
]


def smoke(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    out: SmokeOut = None,
    json: Json = False,
) -> None:
    """Try a recipe in a minute, with a tiny model and few rows.

    Two steps of each stage on the CPU, whatever backend the recipe names.

    Example: rlsp smoke my.yaml ppo.max_new_tokens=256
    """
    from rlsp_cli.backends import stages_of
    from rlsp_cli.preflight import inspect_recipe, read_recipe
    from rlsp_cli.smoke import smoke_recipe

    loaded, path = read_recipe(recipe, overrides or [])
    if not stages_of(loaded):
        raise UsageError(f"{path}: no stage to try; add `sft`, `ppo` or `eval`")
    for note in inspect_recipe(loaded, path, stages_of(loaded)):
        print(note, file=sys.stderr)
    if out is not None and out.exists() and any(out.iterdir()):
        raise UsageError(f"{out}: this folder is used; choose another --out")

    root = (out or Path(tempfile.mkdtemp(prefix="rlsp-smoke-"))).absolute()
    found = smoke_recipe(loaded, root, console(stderr=True))
    if json:
        print_json("smoke", found.to_json())
    else:
        _show(found)
    if out is None and not found.failed:
        shutil.rmtree(root)
    else:
        print(f"files: {root}", file=sys.stderr)
    refuse_failed(found.failed)


def _show(found: "Smoke") -> None:
    rows = [(one.key, one.instead, one.why) for one in found.stand_ins]
    print_table(("key", "replaced by", "why"), rows, title="not as in the recipe")
    print()
    show_checks(found.checks)
