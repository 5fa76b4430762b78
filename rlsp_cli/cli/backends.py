"""`rlsp backends list|install|doctor`."""

import sys
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rlsp_cli.cli.command import Commands
from rlsp_cli.cli.options import Json, OptionalRecipe, Overrides
from rlsp_cli.cli.output import print_json, print_table
from rlsp_cli.errors import NotReadyError
from rlsp_cli.terminal import print

if TYPE_CHECKING:
    from rlsp_cli.backends.doctor import Examination

app = Commands("List, install and examine Axolotl and OpenRLHF.")


class Profile(StrEnum):
    """What the environment is for."""

    gpu = "gpu"
    cpu = "cpu"


@app.command("list")
def list_(json: Json = False) -> None:
    """List the backends: stages, tested versions, and what is installed.

    Example: rlsp backends list
    """
    from rlsp_cli.backends import BACKENDS
    from rlsp_cli.backends.environment import find_environment

    rows = []
    for name, backend in BACKENDS.items():
        # A backend that is not installed is listed too.
        try:
            found = find_environment(name)
            here, where = found.version, " ".join(found.command)
        except NotReadyError:
            here, where = None, None
        rows.append((name, ", ".join(backend.stages), ", ".join(backend.tested), here, where))

    columns = ("backend", "stages", "tested", "installed", "python")
    if json:
        print_json("backends", [dict(zip(columns, row, strict=True)) for row in rows])
    else:
        print_table(columns, rows)


@app.command()
def install(
    backend: Annotated[str, typer.Argument(help="axolotl or openrlhf.")],
    profile: Annotated[
        Profile, typer.Option(help="With GPU packages, or for the CPU.")
    ] = Profile.gpu,
    path: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="By default ~/.local/share/rlsp/backends/NAME."),
    ] = None,
    json: Json = False,
) -> None:
    """Install a backend from a tested lock; takes minutes and gigabytes.

    Example: rlsp backends install axolotl --profile cpu
    """
    from rlsp_cli.backends.environment import SETTINGS, default_folder
    from rlsp_cli.backends.install import install as make

    # Absolute, since the environment's scripts hold the path of their interpreter.
    folder = (path or default_folder(backend)).absolute()
    made = make(backend, profile, folder, lambda text: print(text, file=sys.stderr))
    if json:
        print_json("backend", {**asdict(made), "path": str(folder)})
        return

    size = f"{made.bytes / 2**30:.1f} GiB, {made.seconds:.0f} s"
    print(f"{backend} {made.version} ({profile}): {folder}, {size}")

    # Only the default folder is looked in without being told.
    if path is not None:
        setting = f'[backends.{backend}] python = "{folder}/bin/python"'
        print(f"to use it: {setting} in {SETTINGS}", file=sys.stderr)


@app.command()
def doctor(
    recipe: OptionalRecipe = None,
    overrides: Overrides = None,
    json: Json = False,
) -> None:
    """Load each backend in its environment; exits with 4 if one is not ready.

    With a recipe: only its backends, and whether they can run it.

    Example: rlsp backends doctor my.yaml
    """
    from rlsp_cli.backends import BACKENDS, backend_of, stages_of
    from rlsp_cli.backends.doctor import examine
    from rlsp_cli.preflight import load_checked

    loaded, wanted = None, set(BACKENDS)
    if recipe:
        loaded, _ = load_checked(recipe, overrides or [])
        wanted = {backend_of(loaded, stage).name for stage in stages_of(loaded)}

    # All are examined before the first is reported as not ready.
    found = [examine(name, loaded) for name in BACKENDS if name in wanted]
    if json:
        print_json("doctor", [vars(finding) for finding in found])
    else:
        for one in found:
            print(_line(one))

    failed = [one.backend for one in found if one.problems]
    if failed:
        raise NotReadyError(f"not ready: {', '.join(failed)}")


def _line(found: "Examination") -> str:
    # Without an interpreter the problem says everything, and names the backend.
    state = "; ".join(found.problems) or "ready"
    if not found.python:
        return state

    gpus = f"GPUs: {', '.join(found.gpus)}" if found.gpus else "no GPU"
    details = "; ".join([gpus, *found.facts, found.python])
    return f"{found.backend} {found.version or ''}: {state} ({details})"
