"""`rlsp view`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from rlsp_cli.cli.tab_completion import runs
from rlsp_cli.errors import NotReadyError
from rlsp_cli.terminal import print

Runs = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[RUN]...",
        help="Run folders, folders of runs, or names, for the newest run of each; "
        "by default the newest run.",
        autocompletion=runs,
    ),
]


def view(
    run: Runs = None,
    export: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Write a folder to send on, and serve nothing."),
    ] = None,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to serve on; 0 is any free one.")
    ] = 0,
) -> None:
    """Show runs in a browser: curves, alarms and responses.

    It follows runs that train. Prints an address that works on this machine alone. Ctrl-C ends it.

    Example: rlsp view quickstart ablations/outcome_only
    """
    from rlsp_cli.view import Library, export_view, run_folders

    library = Library(run_folders(run or []))
    if export is not None:
        export_view(library, export)
        print(export / "index.html")
        return

    # Starlette and uvicorn are an extra, which an exported folder does not need.
    try:
        from rlsp_cli.view.server import serve_view
    except ImportError as error:
        raise NotReadyError(
            f"this page needs `pip install 'rlsp[serve]'` ({error.name} is missing); "
            "or write it with --export FOLDER"
        ) from error

    def say(address: str) -> None:
        print(f"listening on {address}", flush=True)

    print("Ctrl-C ends it", file=sys.stderr)
    serve_view(library, port, say)
