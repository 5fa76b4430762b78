"""`rlsp backends list|install|doctor`."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from rlsp_cli.cli.options import Json, OptionalRecipe, Overrides
from rlsp_cli.cli.output import print_json, print_table
from rlsp_cli.errors import NotReadyError
from rlsp_cli.terminal import print

app = typer.Typer(
    help="Axolotl and OpenRLHF: install and examine their environments.", no_args_is_help=True
)


class Profile(StrEnum):
    """What the environment is for."""

    gpu = "gpu"
    cpu = "cpu"


@app.command("list")
def list_(json: Json = False) -> None:
    """List the backends: their stages, tested versions, and what is installed.

    Example: rlsp backends list
    """
    from rlsp_cli.backends import BACKENDS
    from rlsp_cli.backends.environment import find_environment

    rows = []
    for name, backend in BACKENDS.items():
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
    backend: Annotated[
        str, typer.Argument(help="A name of `rlsp backends list`, such as openrlhf.")
    ],
    profile: Annotated[
        Profile, typer.Option(help="With GPU packages, or for the CPU.")
    ] = Profile.gpu,
    path: Annotated[
        Path | None, typer.Option(help="Folder; ~/.local/share/rlsp/backends/NAME if not given.")
    ] = None,
    json: Json = False,
) -> None:
    """Make a backend's environment from a tested lock; takes minutes and gigabytes.

    Example: rlsp backends install axolotl --profile cpu
    """
    from rlsp_cli.backends.environment import SETTINGS, default_folder
    from rlsp_cli.backends.install import install as make

    folder = (path or default_folder(backend)).absolute()
    state = make(backend, profile, folder, lambda text: print(text, file=sys.stderr))
    if json:
        print_json("backend", {**state, "path": str(folder)})
    else:
        gib = state["bytes"] / 2**30
        print(
            f"{backend} {state['version']} ({profile}): {folder}, {gib:.1f} GiB, {state['seconds']:.0f} s"
        )
    if path is not None and not json:
        print(
            f'to use it: [backends.{backend}] python = "{folder}/bin/python" in {SETTINGS}',
            file=sys.stderr,
        )


@app.command()
def doctor(
    recipe: OptionalRecipe = None,
    overrides: Overrides = None,
    json: Json = False,
) -> None:
    """Load each backend in its environment; exits with 4 if something is missing.

    With a recipe only its backends are looked at, and whether they can run it.

    Example: rlsp backends doctor my.yaml
    """
    from rlsp_cli.backends import BACKENDS, backend_of, stages_of
    from rlsp_cli.backends.doctor import examine
    from rlsp_cli.preflight import load_checked

    loaded = load_checked(recipe, overrides or [])[0] if recipe else None
    wanted = (
        {backend_of(loaded, stage).name for stage in stages_of(loaded)} if loaded else set(BACKENDS)
    )
    found = [examine(name, loaded) for name in BACKENDS if name in wanted]
    if json:
        print_json("doctor", [vars(finding) for finding in found])
    else:
        for one in found:
            state = "; ".join(one.problems) or "ready"
            gpus = f"GPUs: {', '.join(one.gpus)}" if one.gpus else "no GPU"
            details = "; ".join([gpus, *one.facts, one.python or ""])
            print(
                f"{one.backend} {one.version or ''}: {state} ({details})" if one.python else state
            )
    failed = [one.backend for one in found if one.problems]
    if failed:
        raise NotReadyError(f"not ready: {', '.join(failed)}")
