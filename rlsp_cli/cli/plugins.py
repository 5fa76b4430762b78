"""`rlsp plugins list|show|new`."""

import typer

app = typer.Typer(help="Rewards, verifiers and tasks.", no_args_is_help=True)
