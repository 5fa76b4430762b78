"""`rlsp report`, `rlsp runs`."""

import typer

runs_app = typer.Typer()


def report() -> None: ...
